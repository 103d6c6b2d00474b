package e2e_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidings/internal/e2e"
)

// The user of the container image.
const nobody = 65532

// TestContainer does what the Dockerfile does: the binary alone in an empty root, a data directory, an unprivileged
// user.
func TestContainer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root directory and the user")
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	copyFile(t, binary, filepath.Join(root, "tidings"))
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	sys := syscall.SysProcAttr{Chroot: root,
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	server := e2e.Start(t, e2e.Options{Binary: "/tidings", DataDir: "/data", Dir: "/", Sys: sys})
	ctx, client := newClient(t)
	if _, _, err := e2e.Publish(ctx, client, server.URL(), "container",
		[]byte(`{"in":"a container"}`)); err != nil {
		t.Error(err)
	}

	health := func() error {
		cmd := exec.Command("/tidings", "health", "--url", server.URL())
		cmd.Env, cmd.Dir, cmd.SysProcAttr = []string{}, "/", &sys
		out, err := cmd.CombinedOutput()
		t.Logf("health: %v %s", err, out)
		return err
	}
	if err := health(); err != nil {
		t.Error("a server that works is not healthy")
	}
	server.Stop()
	if err := health(); err == nil {
		t.Error("a server that has ended is healthy")
	}
	if _, err := os.Stat(filepath.Join(data, "log.db")); err != nil {
		t.Error(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(to, content, 0o755), os.Chmod(to, 0o755)); err != nil {
		t.Fatal(err)
	}
}

// TestComposeFile checks docker-compose.yml: the command accepts the flags in it, and docker's own parser, if
// installed, accepts the file.
func TestComposeFile(t *testing.T) {
	const path = "../../docker-compose.yml"
	t.Run("command", func(t *testing.T) {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(file), "\n  tidings:\n")
		_, line, _ = strings.Cut(line, "command: ")
		line, _, _ = strings.Cut(line, "\n")
		var args []string
		if err := json.Unmarshal([]byte(line), &args); err != nil || len(args) == 0 ||
			args[0] != "serve" {
			t.Fatalf("want a command that is a list beginning with serve, got %q (%v)", line, err)
		}
		// If a flag is given twice the last one counts: the test does not listen on all addresses.
		args = append(args[1:], "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
		server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: t.TempDir(), Args: args})
		if !strings.HasPrefix(server.URL(), "http://127.0.0.1:") {
			t.Errorf("listens on %s", server.URL())
		}
	})
	t.Run("config", func(t *testing.T) {
		if err := exec.Command("docker", "compose", "version").Run(); err != nil {
			t.Skipf("docker compose, which would parse the file, is not there: %v", err)
		}
		if out, err := exec.Command("docker", "compose", "-f", path, "config",
			"-q").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}
