package bolt_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tidings/store/bolt"
)

// TestFreeListAfterCrash: the list of free pages that an open writes into the file of a killed log is what
// bbolt would find, and whatever part of it is written before the next crash, the log is the same.
func TestFreeListAfterCrash(t *testing.T) {
	for _, trims := range []bool{false, true} {
		t.Run(fmt.Sprintf("trims=%t", trims), func(t *testing.T) {
			dir := t.TempDir()
			log := openAt(t, dir, bolt.Options{})
			events := appendN(t, log, 3000, "a", "b", "c.d")
			if trims {
				if _, err := log.Trim(t.Context(), filterOf(t, ">"), events[2000].ID); err != nil {
					t.Fatal(err)
				}
				appendN(t, log, 1, "a")
			}
			killed := crash(t, dir)
			before := bytesOfLog(t, killed)
			if err := bolt.SaveFreeList(logFile(killed)); err != nil {
				t.Fatal(err)
			}
			after := bytesOfLog(t, killed)
			checkFreeList(t, logFile(killed))
			meta := 0
			if !bytes.Equal(before[4096:8192], after[4096:8192]) {
				meta = 4096
			}
			for _, written := range []int{-1, 0, 40, 60, 4096} { // bytes of the meta page; -1: the list is missing, too
				file := bytes.Clone(before)
				if written >= 0 {
					file = bytes.Clone(after)
					copy(file[meta+written:meta+4096], before[meta+written:])
				}
				torn := t.TempDir()
				if err := os.WriteFile(logFile(torn), file, 0o600); err != nil {
					t.Fatal(err)
				}
				reopened := openAt(t, torn, bolt.Options{})
				if diff := cmp.Diff(topicsOf(log), topicsOf(reopened)); diff != "" {
					t.Errorf("%d bytes of the meta page were written; the topics differ: %s", written, diff)
				}
				appendN(t, reopened, 100, "a", "e")
				closeLog(t, reopened)
				if report := verify(t, torn); !report.Intact() {
					t.Errorf("%d bytes of the meta page were written: %q", written, report.Problems)
				}
			}
		})
	}
}

func bytesOfLog(t *testing.T, dir string) []byte {
	t.Helper()
	file, err := os.ReadFile(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// checkFreeList has bbolt compare the list with the pages in use.
func checkFreeList(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A list may be longer than its page's count can hold.
func TestListOfFreePages(t *testing.T) {
	for _, c := range []struct {
		used        int
		inUse       func(id int) bool
		taken, free int
	}{
		{100, func(int) bool { return true }, 1, 0},
		{100, func(id int) bool { return id != 50 }, 1, 1},
		{200_000, func(id int) bool { return id%2 == 0 }, 196, 99_999},
	} {
		taken, named, err := bolt.ListFree(c.used, c.inUse)
		if err != nil || taken != c.taken || named != c.free {
			t.Errorf("the list takes %d pages and names %d, %v; want %d and %d", taken, named, err, c.taken,
				c.free)
		}
	}
}
