package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// wholeLog returns the directory of a closed log with a few thousand events, some of them trimmed.
func wholeLog(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 3000, "a.x", "a.y", "b")
	if _, err := log.Trim(context.Background(), filterOf(t, "b"), events[1000].ID); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	return crash(t, dir)
}

// sealed returns a value of the file as docs/FORMAT.md draws it: a CRC-32C of key and payload, then the
// payload.
func sealed(key, payload []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(key, table), table, payload)
	return append(binary.BigEndian.AppendUint32(nil, sum), payload...)
}

// setMeta returns a change of one entry of the metadata, with a correct checksum.
func setMeta(key string, payload []byte) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte(key), sealed([]byte(key), payload))
	}
}

// TestMustExist: an existing log is opened; if there is none, nothing is created.
func TestMustExist(t *testing.T) {
	exists := bolt.Options{MustExist: true}
	openAt(t, wholeLog(t), exists)
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "missing")} {
		if _, err := bolt.Open(dir, exists); !errors.Is(err, bolt.ErrNoLog) {
			t.Errorf("%s: %v, want %v", dir, err, bolt.ErrNoLog)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("left behind are %v, error %v", left, err)
	}
}

// TestRefuse: each kind of file that is not an intact log of this release is refused with a sentence that
// says so and what to do, and nothing of it is lost.
func TestRefuse(t *testing.T) {
	content := func(b []byte) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			if err := os.WriteFile(logFile(dir), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	edited := func(change func([]byte)) func(testing.TB, string) {
		return func(t testing.TB, dir string) { edit(t, dir, change) }
	}
	altered := func(change func(*bbolt.Tx) error) func(testing.TB, string) {
		return func(t testing.TB, dir string) { alter(t, dir, change) }
	}
	cut := func(size func(int64) int64) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			if err := os.Truncate(logFile(dir), size(usedBytes(t, dir))); err != nil {
				t.Fatal(err)
			}
		}
	}
	topic := binary.BigEndian.AppendUint32(nil, 1)
	format := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	damaged, advice := bolt.ErrDamaged, "restore a backup, or move the file away to start a new log"
	for _, c := range []struct {
		name   string
		make   func(testing.TB, string)
		err    error
		reason string
		advice string
	}{
		{"no byte", content(nil), damaged, "is empty", advice},
		{"one byte", content([]byte{0}), damaged, "invalid", advice},
		{"text", content([]byte(strings.Repeat("not a log\n", 2000))), damaged, "invalid", advice},
		{"64 KiB of zeros", content(make([]byte, 64<<10)), damaged, "invalid", advice},
		{"one page", cut(func(int64) int64 { return 4096 }), damaged, "too small", advice},
		{"two pages", cut(func(int64) int64 { return 8192 }), damaged, "cut short", advice},
		{"half the file", cut(func(n int64) int64 { return n / 2 }), damaged, "cut short", advice},
		{"the last used page cut", cut(func(n int64) int64 {
			return n - 4096
		}), damaged, "cut short", advice},
		{"a byte cut", cut(func(n int64) int64 { return n - 1 }), damaged, "cut short", advice},
		{"both meta pages damaged", edited(func(f []byte) { f[60] ^= 1; f[4096+60] ^= 1 }), damaged,
			"checksum", advice},
		{"another program's bbolt file", func(t testing.TB, dir string) {
			content(nil)(t, dir)
			alter(t, dir, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket(
					[]byte("theirs"))
				return err
			})
		}, damaged, "not a log of this program", advice},
		{"newer format", altered(setMeta("format", format(4))), bolt.ErrNewerFormat, "format 4",
			"start it with the release that wrote it, or a newer one"},
		{"a mirror's format without a place", altered(setMeta("format", format(3))), damaged, "a place", advice},
		{"newer format with other buckets", altered(func(tx *bbolt.Tx) error {
			return errors.Join(tx.DeleteBucket([]byte("sparse")), setMeta("format", format(4))(tx))
		}), bolt.ErrNewerFormat, "format 4",
			"start it with the release that wrote it, or a newer one"},
		{"damaged format", altered(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("xxxxyyyy"))
		}), damaged, "format", advice},
		{"damaged secret", altered(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("secret"), []byte("xxxxyyyy"))
		}), damaged, `"secret"`, advice},
		{"no log bucket", altered(func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("log"))
		}), damaged, `"log"`, advice},
		{"no topics bucket", altered(func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("topics"))
		}), damaged, `"topics"`, advice},
		{"no sparse bucket", altered(func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("sparse"))
		}), damaged, `"sparse"`, advice},
		{"no keys bucket", altered(func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("keys"))
		}), damaged, `"keys"`, advice},
		{"no marks bucket", altered(func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("marks"))
		}), damaged, `"marks"`, advice},
		{"no meta bucket", altered(func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("meta"))
		}), damaged, `"meta"`, advice},
		{"a hidden event", altered(func(tx *bbolt.Tx) error {
			first, _ := tx.Bucket([]byte("log")).Cursor().First()
			return tx.Bucket([]byte("log")).Delete(first)
		}), damaged, "events are counted", advice},
		{"missing head", altered(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Delete([]byte("head"))
		}), damaged, `"head" is missing or damaged`, advice},
		{"short head", altered(setMeta("head", make([]byte, 15))), damaged,
			`"head" has 15 bytes`, advice},
		{"head below the newest event", altered(setMeta("head", make([]byte, 16))), damaged,
			"above the stored head", advice},
		{"damaged topic record", altered(func(tx *bbolt.Tx) error {
			v := bytes.Clone(tx.Bucket([]byte("topics")).Get(topic))
			v[20] ^= 1
			return tx.Bucket([]byte("topics")).Put(topic, v)
		}), damaged, "topic record 00000001 is damaged", advice},
		{"missing topic record", altered(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("topics")).Delete(topic)
		}), damaged, "damaged or missing", advice},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := wholeLog(t)
			c.make(t, dir)
			before, err := os.ReadFile(logFile(dir))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // a refusal leaves nothing that changes the next one
				log, err := bolt.Open(dir, bolt.Options{})
				if err == nil {
					closeLog(t, log)
					t.Fatal("it was opened")
				}
				for _, want := range []string{c.reason, c.advice, logFile(dir)} {
					if !errors.Is(err, c.err) || !strings.Contains(err.Error(), want) {
						t.Errorf("error %q, want %q and %q in it", err, c.err, want)
					}
				}
			}
			if after, err := os.ReadFile(logFile(dir)); err != nil || !bytes.Equal(after, before) {
				t.Errorf("the file was changed; error %v", err)
			}
		})
	}
}

// TestDamagedPages: an invalid page is found at Open, whichever it is, or was not in use.
func TestDamagedPages(t *testing.T) {
	whole := wholeLog(t)
	log := openAt(t, whole, bolt.Options{})
	events, _ := drain(t, log, store.All(), store.ID{}, 500)
	closeLog(t, log)
	refused := 0
	pages := int(usedBytes(t, whole) / 4096)
	step := 1 + pages/60
	for i := 0; i < pages; i += step {
		for name, damage := range map[string]func([]byte){
			"zeroed":      func(page []byte) { clear(page) },
			"overwritten": func(page []byte) { copy(page, strings.Repeat("garbage ", 512)) },
			"a bit":       func(page []byte) { page[8] ^= 1 },
		} {
			dir := crash(t, whole)
			edit(t, dir, func(file []byte) { damage(file[i*4096:][:4096]) })
			log, err := bolt.Open(dir, bolt.Options{})
			if err != nil {
				if !errors.Is(err, bolt.ErrDamaged) {
					t.Fatalf("page %d %s: error %q, want %v", i, name, err, bolt.ErrDamaged)
				}
				refused++
				continue
			}
			got, corrupt := drain(t, log, store.All(), store.ID{}, 500)
			if len(corrupt) == 0 {
				same(t, fmt.Sprintf("with page %d %s", i, name), got, events)
			}
			closeLog(t, log)
		}
	}
	if refused == 0 {
		t.Errorf("none of %d pages mattered", pages)
	}
}

func TestUnusedTailCut(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 2000, "a", "b")
	closeLog(t, log)
	used := usedBytes(t, dir)
	if stat, err := os.Stat(logFile(dir)); err != nil || stat.Size() < used+4096 {
		t.Fatalf("the file has no unused tail: %v, error %v, %d bytes are used", stat, err, used)
	}
	if err := os.Truncate(logFile(dir), used); err != nil {
		t.Fatal(err)
	}
	log = openAt(t, dir, bolt.Options{})
	expect(t, log, store.All(), store.ID{}, append(events, appendN(t, log, 5000, "a", "c")...))
	storetest.Check(t, log)
}

func TestLeftoverOfCreation(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(logFile(dir)+".new", []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := openAt(t, dir, bolt.Options{})
	storetest.Check(t, log)
	expect(t, log, store.All(), store.ID{}, appendN(t, log, 10, "a"))
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir, bolt.Options{})
	_, err := bolt.Open(dir, bolt.Options{})
	if pid := fmt.Sprintf("process %d;", os.Getpid()); !errors.Is(err, bolt.ErrLocked) ||
		!strings.Contains(err.Error(), pid) {
		t.Errorf("error %v, want %v naming %q", err, bolt.ErrLocked, pid)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	openAt(t, dir, bolt.Options{})
	for path, want := range map[string]os.FileMode{dir: 0o700, logFile(dir): 0o600,
		filepath.Join(dir, "lock"): 0o600} {
		stat, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := stat.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %o, want %o", path, got, want)
		}
	}
}

// TestFileTakenAway: losing the name of the open file stops all writing at once, because nothing written from
// then on would be found again.
func TestFileTakenAway(t *testing.T) {
	must := func(t *testing.T, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, take := range map[string]func(*testing.T, string){
		"removed": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"renamed": func(t *testing.T, path string) { must(t, os.Rename(path, path+".old")) },
		"replaced": func(t *testing.T, path string) {
			copyFile(t, path, path+".other")
			must(t, os.Rename(path+".other", path))
		},
		"cut to nothing": func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) },
		"cut in half": func(t *testing.T, path string) {
			must(t, os.Truncate(path, usedBytes(t, crash(t, filepath.Dir(path)))/2))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			log := openAt(t, dir, bolt.Options{Now: time.Now})
			appendN(t, log, 2000, "a")
			head := log.Head()
			take(t, logFile(dir))
			ids, err := store.Append(context.Background(), log, []store.Draft{{Topic: "a"}})
			if !errors.Is(err, store.ErrFailed) || ids != nil {
				t.Fatalf("append answers %v, %v; want %v", ids, err, store.ErrFailed)
			}
			<-log.Failed()
			if err := log.Ready(); !errors.Is(err, store.ErrFailed) {
				t.Errorf("the log's error is %v, want %v", err, store.ErrFailed)
			}
			if log.Head() != head {
				t.Errorf("the head moved")
			}
			if _, err := log.Trim(context.Background(), store.All(), head); !errors.Is(err,
				store.ErrFailed) && err == nil {
				t.Errorf("trim answers %v", err)
			}
		})
	}
}
