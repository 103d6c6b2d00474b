package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

func noteFile(dir string) string { return filepath.Join(dir, "closed") }

// checked waits until a log has checked its whole file, and returns the damage that it found.
func checked(log *bolt.Log) error {
	for log.Stats().Unchecked > 0 {
		select {
		case <-log.Failed():
			return log.Ready()
		default:
			runtime.Gosched()
		}
	}
	return nil
}

// opensQuickly opens the log and reports whether it has left older events to the background.
func opensQuickly(t *testing.T, dir string) (*bolt.Log, bool) {
	t.Helper()
	var lines bytes.Buffer
	log := openAt(t, dir, bolt.Options{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
	if err := checked(log); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log) // nothing writes to lines any more
	quick := strings.Contains(lines.String(), "clean shutdown detected")
	return openAt(t, dir, bolt.Options{}), quick
}

// closedLog returns the directory of a cleanly closed log that has free pages.
func closedLog(t *testing.T) (dir string, events []store.Event) {
	t.Helper()
	dir = t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events = appendN(t, log, 3000, "a.x", "a.y", "b")
	if _, err := log.Trim(t.Context(), filterOf(t, "b"), events[1000].ID); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	return dir, append(matching(events[:1000], filterOf(t, "a.*"), store.ID{}), events[1000:]...)
}

// copyClosed copies a closed log with its note.
func copyClosed(t *testing.T, from string) string {
	t.Helper()
	dir := crash(t, from)
	copyFile(t, noteFile(from), noteFile(dir))
	return dir
}

// TestCleanClose: only a log that is as the last close left it opens without a full check, and then accepts
// writes, trims and reads like any other.
func TestCleanClose(t *testing.T) {
	whole, events := closedLog(t)
	running := t.TempDir()
	copyFile(t, logFile(whole), logFile(running))
	log := openAt(t, running, bolt.Options{})
	more := appendN(t, log, 10, "a.x")
	killed := crash(t, running)
	copyFile(t, noteFile(whole), noteFile(killed))
	for name, c := range map[string]struct {
		dir   string
		quick bool
	}{
		"closed":                   {copyClosed(t, whole), true},
		"copied without its note":  {crash(t, whole), false},
		"killed, with an old note": {killed, false},
		"written by another": {func() string {
			dir := copyClosed(t, whole)
			alter(t, dir, func(*bbolt.Tx) error { return nil })
			return dir
		}(), false},
		"with a note that is cut short": {func() string {
			dir := copyClosed(t, whole)
			if err := os.Truncate(noteFile(dir), 10); err != nil {
				t.Fatal(err)
			}
			return dir
		}(), false},
	} {
		t.Run(name, func(t *testing.T) {
			log, quick := opensQuickly(t, c.dir)
			if quick != c.quick {
				t.Errorf("opened without a look at all of it: %t, want %t", quick, c.quick)
			}
			want := events
			if c.dir == killed {
				want = append(want[:len(want):len(want)], more...)
			}
			want = append(want[:len(want):len(want)], appendN(t, log, 100, "b", "c")...)
			if _, err := log.Trim(t.Context(), filterOf(t, "a.x"), events[500].ID); err != nil {
				t.Fatal(err)
			}
			want = append(matching(matching(want, filterOf(t, ">"), store.ID{})[:500],
				filterOf(t, "a.y", "b"), store.ID{}), want[500:]...)
			expect(t, log, store.All(), store.ID{}, want)
			closeLog(t, log)
			if report := verify(t, c.dir); !report.Intact() {
				t.Errorf("verify: %+v", report)
			}
		})
	}
}

// TestDamageAfterCleanClose: damage to the older events is found in the background and fails the log; the
// next open refuses it, just as any other damage is refused at once.
func TestDamageAfterCleanClose(t *testing.T) {
	whole, events := closedLog(t)
	pageOf := func(file []byte, e store.Event) int {
		return bytes.LastIndex(file, e.Data) / 4096 * 4096
	}
	for _, c := range []struct {
		name   string
		damage func(file []byte)
		later  bool
	}{
		{"an old page is zeroed", func(f []byte) { clear(f[pageOf(f, events[1000]):][:4096]) }, true},
		{"an old page's number is that of a free page", func(f []byte) {
			element := []byte{16, 0, 0, 0} // the size of the key, before the number
			from := binary.NativeEndian.AppendUint64(element, uint64(pageOf(f, events[1000])/4096))
			free := f[freeList(t, f)+16:][:8]
			copy(f, bytes.ReplaceAll(f, from, append(element[:4:4], free...)))
		}, true},
		{"the newest page is zeroed", func(f []byte) {
			clear(f[pageOf(f, events[len(events)-1]):][:4096])
		}, false},
		{"the list of free pages has one in use", func(f []byte) {
			list := f[freeList(t, f):]
			used := uint64(pageOf(f, events[1000]) / 4096)
			binary.NativeEndian.PutUint64(list[16:], used)
		}, false},
		{"the list of free pages has one that does not exist", func(f []byte) {
			f[freeList(t, f)+16+7] ^= 1
		}, false},
		{"the list of free pages is none", func(f []byte) { f[freeList(t, f)+8] ^= 1 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyClosed(t, whole)
			edit(t, dir, c.damage)
			if _, err := bolt.Open(copyClosed(t, dir),
				bolt.Options{CheckAll: true}); !errors.Is(err, bolt.ErrDamaged) {
				t.Errorf("opened with a look at all of it: %v, want %v", err, bolt.ErrDamaged)
			}
			log, err := bolt.Open(dir, bolt.Options{})
			if c.later {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := log.Backup(t.Context(), io.Discard); !errors.Is(err, store.ErrFailed) {
					t.Errorf("backup: %v, want %v", err, store.ErrFailed)
				}
				err = checked(log)
				if !errors.Is(err, store.ErrFailed) || !strings.Contains(err.Error(), "restore a backup") {
					t.Errorf("the check ends with %v", err)
				}
				if _, err := store.Append(t.Context(), log,
					[]store.Draft{{Topic: "a.x"}}); !errors.Is(err, store.ErrFailed) {
					t.Errorf("append: %v, want %v", err, store.ErrFailed)
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				_, err = bolt.Open(dir, bolt.Options{})
			}
			if !errors.Is(err, bolt.ErrDamaged) {
				t.Errorf("opened: %v, want %v", err, bolt.ErrDamaged)
			}
		})
	}
}

// freeList returns where the list of free pages lies in a closed file.
func freeList(t *testing.T, file []byte) int {
	t.Helper()
	newest := 0
	if tx := func(meta int) uint64 {
		return binary.NativeEndian.Uint64(file[meta*4096+64:])
	}; tx(1) > tx(0) {
		newest = 1
	}
	id := binary.NativeEndian.Uint64(file[newest*4096+48:])
	if id >= uint64(len(file)/4096) {
		t.Fatal("the closed file has no list of free pages")
	}
	return int(id) * 4096
}
