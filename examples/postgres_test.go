package examples_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidings/internal/e2e"
)

// nobody is the user that PostgreSQL runs as if the test runs as root, which it refuses.
const nobody = 65534

// postgres is the test's own PostgreSQL. It listens on a socket in its directory, and on no port.
type postgres struct{ bin, dir string }

// findPostgres returns the directory of PostgreSQL's programs, or "". Debian keeps it out of the
// PATH.
func findPostgres() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is valid
	if path, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		found = append(found, path)
	}
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

func startPostgres(t *testing.T, bin string) *postgres {
	t.Helper()
	// Not t.TempDir: nobody may not enter it, and the path of a socket must be short.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sys := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		sys.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.Env, cmd.SysProcAttr = dir, append(e2e.Environ(), "LC_ALL=C"), sys
		return cmd
	}
	if out, err := command("initdb", "-D", data, "-U", "shop", "-A", "trust", "-E", "UTF8",
		"-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := command("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=",
		"-c", "fsync=off")
	log, err := server.StderrPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	drained := make(chan struct{})
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // the fastest shutdown
		<-drained
		_ = server.Wait() // it was asked to end
	})
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), "ready to accept connections") {
			go func() {
				defer close(drained)
				for lines.Scan() { // so that it does not block
				}
			}()
			return &postgres{bin: bin, dir: dir}
		}
	}
	close(drained)
	t.Fatalf("PostgreSQL did not start:\n%s", strings.Join(said, "\n"))
	return nil
}

// url is the address for the poller.
func (p *postgres) url() string {
	return "host=" + p.dir + " user=shop dbname=postgres sslmode=disable"
}

// run runs a script in psql, and returns what its queries return, without headings.
func (p *postgres) run(t *testing.T, script string) (string, error) {
	cmd := p.psql(t)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// psql runs its standard input as it arrives.
func (p *postgres) psql(t *testing.T) *exec.Cmd {
	return exec.CommandContext(t.Context(), filepath.Join(p.bin, "psql"), "-XqAt", "-v",
		"ON_ERROR_STOP=1", "-h", p.dir, "-U", "shop", "-d", "postgres", "-f", "-")
}
