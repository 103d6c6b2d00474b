package bolt

import (
	"errors"
	"os"

	"go.etcd.io/bbolt"

	"tidings/store/internal/commit"
)

// Between returns o with f called with each decided commit before it is applied, on the committer's
// goroutine; f may apply commits that others have decided.
func Between(o Options, f func(decided *commit.Commit, apply func(*commit.Commit) error)) Options {
	o.between = f
	return o
}

// Committed returns o with f called, on the committer's goroutine, for each commit that is in the file and
// not yet shown to readers, as during its last fsync.
func Committed(o Options, f func()) Options {
	o.committed = f
	return o
}

// SaveFreeList writes a list of the free pages into the file of a killed log, as an open does before bbolt
// opens it.
func SaveFreeList(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	p := &pages{}
	err = checkWhole(path, info.Size(), p, func(*bbolt.Tx) error { return nil })
	if err == nil {
		err = p.saveFreeList(path)
	}
	return errors.Join(err, p.close())
}

// ListFree makes the list of free pages of a file with used pages, and reads it. It returns how many pages
// the list takes, and how many it names.
func ListFree(used int, inUse func(id int) bool) (taken, named int, err error) {
	p := &pages{size: 4096, used: uint64(used), seen: make([]bool, used)}
	for id := range used {
		p.seen[id] = inUse(id)
	}
	list := p.listFree()
	err = p.freePages(list)
	return len(list) / 4096, int(p.listed), err
}
