package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func verifies(t *testing.T, dir string) {
	t.Helper()
	runCLI(t, "verify", "--data-dir", dir).ended(t, exitOK)
}

func TestBackupRestoreCompact(t *testing.T) {
	dir, ids := storedLog(t, `{"order":1}`, `{"order":2}`)
	file, copied := filepath.Join(t.TempDir(), "b.db"), filepath.Join(t.TempDir(), "data")
	runCLI(t, "backup", file, "--data-dir", dir).ended(t, exitOK)
	for _, name := range []string{file, file + ".json"} {
		if stat, err := os.Stat(name); err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, error %v; want mode 0600", name, stat, err)
		}
	}
	runCLI(t, "backup", file, "--data-dir", dir).want(t, exitUsage, "", "already exists")
	got := runCLI(t, "restore", file, "--data-dir", copied).ended(t, exitOK)
	if !strings.Contains(got.stdout, "2 events up to "+ids[1].String()) ||
		!strings.Contains(got.stdout, ids[1].Time().Format("2006-01-02T15:04:05Z")) {
		t.Errorf("restore printed %q", got.stdout)
	}
	verifies(t, copied)
	runCLI(t, "restore", file, "--data-dir", copied).want(t, exitFailure, "",
		"there already is a log")
	if got := runCLI(t, "compact", "--data-dir", copied).ended(t,
		exitOK); !strings.Contains(got.stdout, "from ") {
		t.Errorf("compact printed %q", got.stdout)
	}
	verifies(t, copied)
	if err := os.WriteFile(file+".json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "data")
	runCLI(t, "restore", file, "--data-dir", fresh).want(t, exitDamaged, "", "its manifest says 0")
	runCLI(t, "restore", file+".gone", "--data-dir", fresh).want(t, exitUsage, "", "no such file")
	if err := os.Remove(file + ".json"); err != nil {
		t.Fatal(err)
	}
	runCLI(t, "restore", file, "--data-dir", fresh).want(t, exitDamaged, "", "has no manifest")
	runCLI(t, "restore", file, "--data-dir", fresh, "--without-manifest").ended(t, exitOK)
	verifies(t, fresh)
}

func TestBackupOfServer(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir())
	runCLI(t, "publish", "--url", url, "orders", `{"order":1}`).ended(t, exitOK)
	file, copied := filepath.Join(t.TempDir(), "b.db"), filepath.Join(t.TempDir(), "data")
	runCLI(t, "backup", file, "--url", url).ended(t, exitOK)
	runCLI(t, "restore", file, "--data-dir", copied).ended(t, exitOK)
	verifies(t, copied)
}

// TestBackupFails: a failed backup leaves nothing behind that looks like one.
func TestBackupFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b.db")
	held := t.TempDir()
	url := serving(t, "--data-dir", held)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--data-dir " + held, exitInUse, "is held by process"},
		{"--data-dir " + t.TempDir(), exitFailure, "there is no log"},
		{"--url " + url + "/nowhere", exitFailure, "the server answered 404"},
		{"", exitUsage, "expected either --data-dir or --url"},
		{"--data-dir x --url " + url, exitUsage, "can't be used together"},
	} {
		runCLI(t, append([]string{"backup", file}, strings.Fields(c.args)...)...).want(t,
			c.code, "", c.want)
		if left, err := filepath.Glob(file + "*"); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, error %v", c.args, left, err)
		}
	}
}

// TestBackupAddressFromVariable: the variable sets the address as well as the flag.
func TestBackupAddressFromVariable(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir())
	runCLI(t, "publish", "--url", url, "orders", "1").ended(t, exitOK)
	file := filepath.Join(t.TempDir(), "b.db")
	got := runWith(t.Context(), []string{"TIDINGS_URL=" + url}, strings.NewReader(""), "backup",
		file).ended(t, exitOK)
	if !strings.Contains(got.stdout, "1 events") {
		t.Errorf("stdout %q", got.stdout)
	}
}

// TestBackupFlagBeatsVariable: the flag selects the source even if the other source has a variable, as the
// directory has in the container.
func TestBackupFlagBeatsVariable(t *testing.T) {
	held := t.TempDir()
	url := serving(t, "--data-dir", held)
	file := filepath.Join(t.TempDir(), "b.db")
	runWith(t.Context(), []string{"TIDINGS_DATA_DIR=" + held}, strings.NewReader(""), "backup",
		file, "--url", url).ended(t, exitOK)
	runWith(t.Context(), []string{"TIDINGS_URL=" + url}, strings.NewReader(""), "backup", file+"2",
		"--data-dir", held).want(t, exitInUse, "", "is held by process")
	runWith(t.Context(), []string{"TIDINGS_URL=" + url, "TIDINGS_DATA_DIR=" + held},
		strings.NewReader(""), "backup", file+"3").want(t, exitUsage, "", "can't be used together")
}

// TestBackupRows: row 111 of docs/ERRORS.md. A refused backup leaves nothing behind.
func TestBackupRows(t *testing.T) {
	dir, ids := storedLog(t, `{"order":1}`, `{"order":2}`)
	file := filepath.Join(t.TempDir(), "b.db")
	runCLI(t, "backup", file, "--data-dir", dir).ended(t, exitOK)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.ReplaceAll(whole, []byte(`{"order":2}`), []byte(`{"order":3}`))
	for _, r := range []struct {
		name    string
		content []byte
		flags   string
		want    string
	}{
		{"row 111: cut short", whole[:len(whole)-1], "",
			fmt.Sprintf("it has %d bytes, its manifest says %d", len(whole)-1, len(whole))},
		{"row 111: bit", flipped, "", "its SHA-256 is not the one in its manifest"},
		{"row 111: bit, without a manifest", flipped, "--without-manifest",
			"1 of 2 events are damaged, the first is " + ids[1].String()},
		{"row 111: cut short, without a manifest", whole[:len(whole)/2],
			"--without-manifest", "cut short"},
		{"row 111: empty", nil, "--without-manifest", "the file is empty"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if err := os.WriteFile(file, r.content, 0o600); err != nil {
				t.Fatal(err)
			}
			data := filepath.Join(t.TempDir(), "data")
			runCLI(t, append([]string{"restore", file, "--data-dir", data},
				strings.Fields(r.flags)...)...).want(t, exitDamaged, "", r.want)
			if left, err := filepath.Glob(filepath.Join(data, "log.db*")); err != nil ||
				len(left) > 0 {
				t.Errorf("left behind %v, error %v", left, err)
			}
		})
	}
}
