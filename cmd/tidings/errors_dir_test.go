package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// onDirectory runs each verb on a data directory, and expects the code and the text.
func onDirectory(t *testing.T, dir string, code int, want string, verbs ...string) {
	t.Helper()
	for _, verb := range verbs {
		args := append(strings.Fields(verb), "--data-dir", dir)
		got := runCLI(t, args...).ended(t, code)
		if got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: stdout %q, stderr %q, want %q", verb, got.stdout, got.stderr, want)
		}
	}
}

// TestDirectoryRows: rows 200 to 205 of docs/ERRORS.md.
func TestDirectoryRows(t *testing.T) {
	source, _ := storedLog(t, `{"order":1}`)
	backup := filepath.Join(t.TempDir(), "b.db")
	runCLI(t, "backup", backup, "--data-dir", source).ended(t, exitOK)
	const serve = "serve --listen 127.0.0.1:0"
	t.Run("row 200: a link in the place of the log", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink("/not/mounted/log.db", filepath.Join(dir, "log.db")); err != nil {
			t.Fatal(err)
		}
		onDirectory(t, dir, exitDamaged, "log.db is a link, to /not/mounted/log.db", serve, "verify",
			"compact", "import", "export", "backup "+filepath.Join(t.TempDir(), "b.db"))
		onDirectory(t, dir, exitFailure, "there already is a log", "restore "+backup)
	})
	t.Run("row 201: a directory that everybody may write", func(t *testing.T) {
		dir, _ := storedLog(t)
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		onDirectory(t, dir, exitInUse, dir+" is world-writable", serve, "compact", "detach", "import",
			"export", "restore "+backup)
	})
	t.Run("row 202: what a restore has left", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "log.db.unfinished"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		onDirectory(t, dir, exitDamaged, "run it again", serve, "verify", "compact", "detach", "export")
		runCLI(t, "restore", backup, "--data-dir", dir).ended(t, exitOK)
		verifies(t, dir)
	})
	t.Run("row 203: no log where one is required", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		onDirectory(t, dir, exitFailure, "there is no log", serve+" --require-log")
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory was made: %v", err)
		}
	})
	t.Run("row 204: a backup in the place of a file", testBackupNames)
	t.Run("row 205: an import with a wrong line", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		lines := write(t, "lines", []byte(`{"topic":"orders","data":1}`+"\n[]\n"), 0o600)
		runCLI(t, "import", lines, "--data-dir", dir).want(t, exitFailure, "", "line 2: ")
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something is left: %v", err)
		}
	})
}

func testBackupNames(t *testing.T) {
	source, _ := storedLog(t, `{"order":1}`)
	for _, name := range []string{"b.db", "b.db.json"} {
		precious := write(t, "precious", []byte("precious"), 0o600)
		file := filepath.Join(t.TempDir(), "b.db")
		if err := os.Symlink(precious, filepath.Join(filepath.Dir(file), name)); err != nil {
			t.Fatal(err)
		}
		onDirectory(t, source, exitUsage, name+": file already exists", "backup "+file)
	}
	file := filepath.Join(t.TempDir(), "b.db")
	precious := write(t, "precious", []byte("precious"), 0o600)
	for _, name := range []string{file + ".partial", file + ".json.partial"} { // left by a killed run
		if err := os.Symlink(precious, name); err != nil {
			t.Fatal(err)
		}
	}
	runCLI(t, "backup", file, "--data-dir", source).ended(t, exitOK)
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("the file behind the link has %.40q, error %v", text, err)
	}
	left, err := filepath.Glob(file + "*")
	if err != nil || len(left) != 2 {
		t.Errorf("there are %v, error %v, want the backup and its manifest", left, err)
	}
	runCLI(t, "restore", file, "--data-dir", filepath.Join(t.TempDir(), "data")).ended(t, exitOK)
}
