package bolt

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tidings/store"
)

// fullWarning is the minimum time between two warnings of a full disk.
const fullWarning = time.Minute

// update runs fn in a read-write transaction and makes it durable. The error is ErrNoSpace if it is certain
// that nothing was stored; every other one fails the log, because bbolt can return an error for a transaction
// that is in the file. After an ErrNoSpace bbolt has searched the whole file again for free pages.
func (c *committer) update(fn func(*bbolt.Tx) error) error {
	return c.mayHang(func() error { return c.transact(fn) })
}

func (c *committer) transact(fn func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			c.file.wedged.Store(true)
			err = fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, c.file.fail(
				fmt.Errorf("writing %s: %v; run tidings verify, then restore a backup", c.file.path, p)))
		}
	}()
	if err := c.file.failure(); err != nil {
		return err
	}
	if err := c.file.check(); err != nil {
		return c.file.fail(err)
	}
	begun := func() {}
	if c.full || c.space.isLow() {
		// bbolt does not reuse pages that an open read transaction, however short, could still see.
		c.file.readers.Lock()
		begun = sync.OnceFunc(c.file.readers.Unlock)
		defer begun()
	}
	var before int
	began := time.Now()
	err = c.file.db.Update(func(tx *bbolt.Tx) error {
		begun()
		before = tx.ID() - 1
		tx.OnCommit(func() {
			stats := tx.Stats()
			c.file.counters.writes.observe(stats.GetWriteTime().Seconds())
		})
		return fn(tx)
	})
	if err != nil {
		return c.judge(err, before)
	}
	c.file.counters.commits.observe(time.Since(began).Seconds())
	return nil
}

// judge interprets the error of a transaction; before is the newest visible transaction at its start.
func (c *committer) judge(err error, before int) error {
	if isFull(err) && c.file.visibleTx() == before {
		c.full = true
		c.space.refused()
		c.warnFull(err)
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown,
		c.file.fail(fmt.Errorf("commit: %w", err)))
}

// warnFull logs at most once per fullWarning: on a full disk every publish fails.
func (c *committer) warnFull(err error) {
	if since := c.now().Sub(c.warned); since < 0 || since >= fullWarning {
		c.warned = c.now()
		c.logger.Warn("disk full, refusing publishes", "error", err)
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		errors.Is(err, berrors.ErrMaxSizeReached)
}

// visibleTx returns the number of the newest transaction a reader would see, -1 if that is unknown.
func (f *file) visibleTx() int {
	tx, err := f.db.Begin(false)
	if err != nil {
		return -1
	}
	id := tx.ID()
	if tx.Rollback() != nil {
		return -1
	}
	return id
}

// check makes sure that the path still leads to the open file: a lock follows the file, not its name, and
// writing to a file that was replaced would succeed and be lost. Writing to one that was cut short would end
// the process: bbolt then searches for free pages in its own goroutine.
func (f *file) check() error {
	open, err := f.handle.Stat()
	if err != nil {
		return fmt.Errorf("stat the open log file: %w", err)
	}
	named, err := os.Lstat(f.path)
	if err != nil {
		return fmt.Errorf("%s was removed while in use: %w", f.path, err)
	}
	if !os.SameFile(open, named) {
		return fmt.Errorf("%s was replaced while in use; the events since then would be lost",
			f.path)
	}
	if open.Size() < f.size {
		return fmt.Errorf("%s was cut short while in use, from %d bytes to %d", f.path,
			f.size, open.Size())
	}
	f.size = open.Size()
	return nil
}
