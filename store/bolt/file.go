package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tidings/store"
)

// file is the bbolt file: every transaction begins here, and failures of the log are recorded here. Anyone
// may read; update belongs to the committer.
type file struct {
	path     string
	db       *bbolt.DB
	handle   *os.File // the one that bbolt has open; only for Stat
	size     int64    // as the committer last saw it; it never shrinks
	logger   *slog.Logger
	counters *counters

	// readers is read-locked by each view, and write-locked while a transaction begins that must be
	// able to use every free page.
	readers sync.RWMutex

	failed   chan struct{}
	failOnce sync.Once
	err      error       // set before failed is closed
	wedged   atomic.Bool // bbolt panicked, and may hold its locks forever
}

// fail makes the log refuse writes from now on, for the first reason given.
func (f *file) fail(why error) error {
	f.failOnce.Do(func() {
		f.err = fmt.Errorf("%w: %w", store.ErrFailed, why)
		f.logger.Error("log failed", "error", why)
		close(f.failed)
	})
	return f.err
}

// failure returns why the log has failed, or nil.
func (f *file) failure() error {
	select {
	case <-f.failed:
		return f.err
	default:
		return nil
	}
}

// view runs fn in a short read transaction: fn must not wait for anything.
func (f *file) view(fn func(*bbolt.Tx) error) error {
	f.readers.RLock()
	defer f.readers.RUnlock()
	return f.read(fn)
}

// read runs fn in a read transaction. bbolt panics on invalid pages, and a file cut short under the map
// faults: both become an error here, and fail the log.
func (f *file) read(fn func(*bbolt.Tx) error) (err error) {
	if f.wedged.Load() {
		<-f.failed // or is about to be closed
		return f.err
	}
	f.counters.reading.Add(1)
	defer f.counters.reading.Add(-1)
	begun := false
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = f.unreadable(p, begun)
		}
	}()
	err = f.db.View(func(tx *bbolt.Tx) error {
		begun = true
		return fn(tx)
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// unreadable fails the log for a panic of bbolt in a read. A panic before the transaction has begun leaves
// bbolt's locks held.
func (f *file) unreadable(panicked any, begun bool) error {
	if !begun {
		f.wedged.Store(true)
	}
	return f.fail(fmt.Errorf(
		"reading %s: %v; run tidings verify, then restore a backup", f.path, panicked))
}
