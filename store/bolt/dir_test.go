package bolt_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tidings/store/bolt"
)

// precious creates a file that nothing may write to, outside any data directory.
func precious(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		text, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err := errors.Join(err, statErr); err != nil || string(text) != "precious" ||
			info.Mode().Perm() != 0o644 {
			t.Errorf("the file behind the link has %.40q and mode %v, error %v", text, info.Mode(), err)
		}
	})
	return path
}

func link(t *testing.T, target, dir, name string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func nothing(*bolt.Log) error { return nil }

// verbs are the operations on a directory; each returns its error.
func verbs(t *testing.T) map[string]func(dir string) error {
	t.Helper()
	backup, m := backUp(t, openAt(t, t.TempDir(), bolt.Options{}))
	return map[string]func(string) error{
		"open": func(dir string) error {
			log, err := bolt.Open(dir, bolt.Options{})
			if err == nil {
				err = log.Close()
			}
			return err
		},
		"open what exists": func(dir string) error {
			log, err := bolt.Open(dir, bolt.Options{MustExist: true})
			if err == nil {
				err = log.Close()
			}
			return err
		},
		"fill": func(dir string) error { return bolt.Fill(dir, bolt.Options{}, nothing) },
		"verify": func(dir string) error {
			_, err := bolt.Verify(t.Context(), dir, nil)
			return err
		},
		"compact": func(dir string) error {
			_, _, err := bolt.Compact(t.Context(), dir, nil)
			return err
		},
		"restore": func(dir string) error {
			_, err := bolt.Restore(t.Context(), backup, dir, bolt.RestoreOptions{Manifest: &m})
			return err
		},
	}
}

// TestNoPlaceForALog: anything with the log's name that is not a file is refused, and stays. It may lead to a
// disk that is not mounted.
func TestNoPlaceForALog(t *testing.T) {
	elsewhere := t.TempDir()
	closeLog(t, openAt(t, elsewhere, bolt.Options{}))
	for what, put := range map[string]func(t *testing.T, path string) error{
		"a link to a log": func(_ *testing.T, path string) error {
			return os.Symlink(logFile(elsewhere), path)
		},
		"a dangling link": func(_ *testing.T, path string) error {
			return os.Symlink("/not/mounted/log.db", path)
		},
		"a link to itself": func(_ *testing.T, path string) error { return os.Symlink(path, path) },
		"a directory":      func(_ *testing.T, path string) error { return os.Mkdir(path, 0o700) },
		"a pipe":           func(_ *testing.T, path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		for verb, run := range verbs(t) {
			t.Run(what+"/"+verb, func(t *testing.T) {
				dir := t.TempDir()
				if err := put(t, logFile(dir)); err != nil {
					t.Fatal(err)
				}
				before, err := os.Lstat(logFile(dir))
				if err != nil {
					t.Fatal(err)
				}
				want := bolt.ErrDamaged
				if verb == "restore" {
					want = bolt.ErrExists
				}
				if err := run(dir); !errors.Is(err, want) || !strings.Contains(err.Error(), logFile(dir)) {
					t.Errorf("error %v, want %v, naming the file", err, want)
				}
				if after, err := os.Lstat(logFile(dir)); err != nil || !os.SameFile(before, after) {
					t.Errorf("it is %v now, error %v", after, err)
				}
			})
		}
	}
}

// TestNothingThroughLinks: a link under a name that the log uses is replaced, never written through.
func TestNothingThroughLinks(t *testing.T) {
	for verb, run := range verbs(t) {
		for _, name := range []string{"lock", "log.db.new", "log.db.copy", "log.db.unfinished"} {
			t.Run(verb+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				exists := verb != "restore" && verb != "fill"
				if exists {
					closeLog(t, openAt(t, dir, bolt.Options{}))
				}
				link(t, precious(t), dir, name)
				if err := run(dir); err != nil {
					t.Error(err)
				}
				if info, err := os.Lstat(logFile(dir)); err != nil || info.Mode() != 0o600 {
					t.Errorf("the log is %v, error %v, want a file of mode 0600", info, err)
				}
			})
		}
	}
	t.Run("backup", func(t *testing.T) {
		dir := t.TempDir()
		log := openAt(t, dir, bolt.Options{})
		link(t, precious(t), dir, "log.db.copy")
		b, err := log.OpenBackup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestUnfinished: what a killed restore or import leaves is not a log, and no obstacle to the next one.
func TestUnfinished(t *testing.T) {
	killed, filled := t.TempDir(), t.TempDir()
	err := bolt.Fill(filled, bolt.Options{}, func(log *bolt.Log) error {
		appendN(t, log, 3, "orders")
		return os.CopyFS(killed, os.DirFS(filled))
	})
	if err != nil {
		t.Fatal(err)
	}
	for verb, run := range verbs(t) {
		t.Run(verb, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(killed)); err != nil {
				t.Fatal(err)
			}
			err := run(dir)
			if verb == "restore" || verb == "fill" {
				if err != nil {
					t.Fatal(err)
				}
				if report, err := bolt.Verify(t.Context(), dir, nil); err != nil ||
					!report.Intact() || report.Events != 0 {
					t.Errorf("the log that was made then: %+v, error %v", report, err)
				}
				return
			}
			if !errors.Is(err, bolt.ErrDamaged) || !strings.Contains(err.Error(), "run it again") {
				t.Errorf("error %v, want that it is run again", err)
			}
			if _, err := os.Lstat(logFile(dir)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a log: %v", err)
			}
		})
	}
}

// TestFillFails: a log that could not be filled does not become one, and an existing log keeps what it has.
func TestFillFails(t *testing.T) {
	wrong := errors.New("wrong")
	fill := func(log *bolt.Log) error {
		appendN(t, log, 2, "orders")
		return wrong
	}
	dir := filepath.Join(t.TempDir(), "new")
	if err := bolt.Fill(dir, bolt.Options{}, fill); !errors.Is(err, wrong) {
		t.Errorf("error %v, want %v", err, wrong)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory that was made for it: %v", err)
	}
	dir = t.TempDir()
	closeLog(t, openAt(t, dir, bolt.Options{}))
	if err := bolt.Fill(dir, bolt.Options{}, fill); !errors.Is(err, wrong) {
		t.Errorf("error %v, want %v", err, wrong)
	}
	if report, err := bolt.Verify(t.Context(), dir, nil); err != nil || report.Events != 2 {
		t.Errorf("the log has %d events, error %v, want 2", report.Events, err)
	}
}

// TestReadersLeaveNothing: a verb that only reads a closed log leaves the directory as it was.
func TestReadersLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	closeLog(t, openAt(t, dir, bolt.Options{}))
	if _, err := bolt.Verify(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(names, []string{filepath.Join(dir, "closed"), logFile(dir)}) {
		t.Errorf("the directory has %v, error %v", names, err)
	}
}

// TestUnsafeDirectory: where everyone may write, anyone could replace the log.
func TestUnsafeDirectory(t *testing.T) {
	for verb, run := range verbs(t) {
		if verb == "verify" {
			continue // it writes nothing
		}
		t.Run(verb, func(t *testing.T) {
			dir := t.TempDir()
			if verb != "restore" {
				closeLog(t, openAt(t, dir, bolt.Options{}))
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := run(dir); !errors.Is(err, bolt.ErrUnsafe) || !strings.Contains(err.Error(), "chmod") {
				t.Errorf("error %v, want %v and what to do", err, bolt.ErrUnsafe)
			}
		})
	}
}

// TestOpenToOthers: a log that everyone may read is reported.
func TestOpenToOthers(t *testing.T) {
	dir := t.TempDir()
	closeLog(t, openAt(t, dir, bolt.Options{}))
	for mode, told := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o606: true} {
		if err := os.Chmod(logFile(dir), mode); err != nil {
			t.Fatal(err)
		}
		var lines bytes.Buffer
		log, err := bolt.Open(dir, bolt.Options{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
		if err != nil {
			t.Fatal(err)
		}
		closeLog(t, log)
		if got := strings.Contains(lines.String(), "chmod"); got != told {
			t.Errorf("mode %v: told is %v, want %v: %s", mode, got, told, &lines)
		}
	}
}

// TestOwners: compacting or restoring as the superuser does not lock out the server's user.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can give files away")
	}
	const uid, gid = 65534, 65533
	owned := func(t *testing.T, path string, mode os.FileMode) {
		t.Helper()
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if stat.Uid != uid || stat.Gid != gid || info.Mode().Perm() != mode {
			t.Errorf("%s belongs to %d:%d and has mode %v, want %d:%d and %v", path, stat.Uid, stat.Gid,
				info.Mode().Perm(), uid, gid, mode)
		}
	}
	for verb, run := range verbs(t) {
		t.Run(verb, func(t *testing.T) {
			dir, mode := t.TempDir(), os.FileMode(0o600)
			if verb == "compact" || verb == "verify" || verb == "open what exists" {
				closeLog(t, openAt(t, dir, bolt.Options{}))
				mode = 0o640
				if err := errors.Join(os.Chown(logFile(dir), uid, gid), os.Chmod(logFile(dir), mode)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Chown(dir, uid, gid), run(dir)); err != nil {
				t.Fatal(err)
			}
			owned(t, logFile(dir), mode)
		})
	}
	t.Run("the lock", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		openAt(t, dir, bolt.Options{})
		owned(t, filepath.Join(dir, "lock"), 0o600)
	})
}
