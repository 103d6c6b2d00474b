package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tidings/store"
	"tidings/store/internal/commit"
)

const (
	fileName = "log.db"
	newName  = "log.db.new" // a log that is being made; never opened, removed when found
	lockWait = time.Second  // for another process to let go, and for bbolt's own lock
	dirMode  = 0o700
	fileMode = 0o600
)

// Open opens the log in dir, which it makes if there is none, unless Options.MustExist, and holds
// the directory's lock until Close. A file that exists is opened or refused, never replaced:
// ErrLocked, ErrDamaged and ErrNewerFormat say why and what to do.
func Open(dir string, o Options) (*Log, error) {
	o = o.withDefaults()
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); o.MustExist && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoLog, path)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, logger: o.Logger, counters: newCounters(),
		failed: make(chan struct{})}
	l := &Log{file: f, horizon: &horizon{index: newIndex()}, now: o.Now, lock: lock,
		queue: newQueue(), stopped: make(chan struct{}), closing: make(chan struct{}),
		space: &space{dir: dir, minFree: o.MinFree, disk: o.Disk, logger: o.Logger, now: o.Now}}
	c := &committer{file: f, horizon: l.horizon, queue: l.queue, space: l.space,
		now: o.Now, logger: o.Logger, stopped: l.stopped, between: o.between,
		limits: commit.Limits{MaxTopics: o.MaxTopics, MaxMarks: o.MaxMarks, MaxKeys: o.MaxKeys,
			KeyWindow: o.KeyWindow}}
	if err := l.openFile(dir, c.load); err != nil {
		if errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w; restore a backup, or move the file away to start a new log", err)
		}
		return nil, errors.Join(err, lock.Close())
	}
	l.suspects = c.suspects
	go c.run()
	return l, nil
}

// openFile opens or creates the log file, checks it and loads what is kept in memory.
func (l *Log) openFile(dir string, load func(*bbolt.Tx) error) (err error) {
	found, err := l.find(dir)
	if err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(damaged(l.path, fmt.Errorf("%v", p)), abandon(l.handle))
		}
	}()
	if err := l.openBolt(); err != nil {
		return err
	}
	err = l.db.View(func(tx *bbolt.Tx) (err error) {
		if l.id, err = getMetaID(tx, metaLogID); err != nil {
			return err
		}
		return load(tx)
	})
	// A damaged page number can hide events: it leads to an older page, which is as it should be.
	if counted := l.index.events; err == nil && counted > found.events {
		err = fmt.Errorf("%d events are counted, %d are there", counted, found.events)
	}
	if err != nil {
		return errors.Join(damaged(l.path, err), l.db.Close())
	}
	// What the last run committed may be visible and not yet on disk, if it ended between the two.
	// A sync alone would not do: after one that failed the kernel takes the page for clean. An
	// empty transaction writes it anew, and needs no space.
	if err := l.db.Update(func(*bbolt.Tx) error { return nil }); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", l.path, err), l.db.Close())
	}
	return nil
}

// find looks at the pages of the file, or creates one when there is none.
func (l *Log) find(dir string) (found usage, err error) {
	stat, err := os.Stat(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found, create(dir, l.now())
	case err != nil:
		return found, fmt.Errorf("open the log: %w", err)
	}
	found, err = checkWhole(l.path, stat.Size())
	if err := errors.Join(err, removeLeftover(dir)); err != nil {
		return found, err
	}
	l.space.opened(found.free)
	return found, nil
}

func (l *Log) openBolt() (err error) {
	l.db, err = bbolt.Open(l.path, fileMode, &bbolt.Options{
		Timeout: lockWait,
		// The free list is rebuilt at open: written with every commit it can outweigh the events
		// by far once retention has freed pages.
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		InitialMmapSize: mapBytes, NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			l.handle = f
			return f, err
		},
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", l.path, err)
	}
	return nil
}

// create makes a new log under another name and renames it: a crash leaves no log or a whole one.
// (A torn first write of a bbolt file cannot be opened again.)
func create(dir string, now time.Time) error {
	if err := removeLeftover(dir); err != nil {
		return err
	}
	temp := filepath.Join(dir, newName)
	db, err := bbolt.Open(temp, fileMode,
		&bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("create the log: %w", err)
	}
	if err := errors.Join(db.Update(func(tx *bbolt.Tx) error {
		return initialise(tx, now)
	}), db.Sync(), db.Close()); err != nil {
		return fmt.Errorf("create the log: %w", err)
	}
	return install(dir)
}

// install makes the new file, which is on disk, the log. A crash leaves what was there before or
// the whole new log.
func install(dir string) error {
	if err := os.Rename(filepath.Join(dir, newName), filepath.Join(dir, fileName)); err != nil {
		return fmt.Errorf("rename the new log: %w", err)
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir))) // the directory itself may be new
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return nil
}

// removeLeftover removes what a crash left of a creation, a restore or a compaction.
func removeLeftover(dir string) error {
	if err := os.Remove(filepath.Join(dir, newName)); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an unfinished log: %w", err)
	}
	return nil
}

func initialise(tx *bbolt.Tx, now time.Time) error {
	for _, name := range [][]byte{bucketLog, bucketSparse, bucketTopics, bucketKeys,
		bucketMarks, bucketMeta} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	id, err := store.NewID(now)
	if err != nil {
		return err
	}
	zero := store.ID{}
	return errors.Join(
		fillReserve(tx),
		putFormat(tx, formatPlain),
		putMeta(tx, metaLogID, id[:]),
		putMeta(tx, metaHead, zero[:]),
		putMeta(tx, metaTrimmed, zero[:]),
		putMeta(tx, metaCheckpoint, zero[:]),
		putMeta(tx, metaSuspects, nil),
	)
}

// checkWhole refuses what bbolt would open as a new database, misread, or fault on: an empty file,
// another kind of file, one shorter than its own count of pages, one of a newer format.
func checkWhole(path string, size int64) (found usage, err error) {
	refuse := func(why error) error { return damaged(path, why) }
	if size == 0 {
		return found, refuse(errors.New("the file is empty"))
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = refuse(fmt.Errorf("%v", p))
		}
	}()
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	switch {
	case errors.Is(err, berrors.ErrTimeout): // by another path to the same file
		return found, fmt.Errorf("%w: another process has %s open", ErrLocked, path)
	case errors.Is(err, fs.ErrPermission):
		return found, fmt.Errorf("open %s: %w", path, err)
	case err != nil:
		return found, refuse(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) (err error) {
		found, err = checkLog(tx, path, size)
		return err
	})
	return found, err
}

// checkLog is checkWhole of what bbolt can open.
func checkLog(tx *bbolt.Tx, path string, size int64) (found usage, err error) {
	if tx.Size() > size {
		return found, damaged(path, fmt.Errorf(
			"the file is cut short: it has %d bytes, its pages need %d", size, tx.Size()))
	}
	if found, err = checkPages(tx); err != nil {
		return found, damaged(path, err)
	}
	missing := func(bucket []byte) error {
		return damaged(path, fmt.Errorf(
			"it is a bbolt file without the bucket %q, so not a log of this program", bucket))
	}
	if tx.Bucket(bucketMeta) == nil {
		return found, missing(bucketMeta)
	}
	v, err := getMeta(tx, metaFormat)
	if err != nil || len(v) != 4 {
		return found, damaged(path, errors.Join(err, errors.New("its format cannot be told")))
	}
	if got := binary.BigEndian.Uint32(v); got > formatNewest {
		return found, fmt.Errorf("%w: %s has format %d, this release reads up to %d; "+
			"start it with the release that wrote it, or a newer one",
			ErrNewerFormat, path, got, formatNewest)
	}
	for _, b := range [][]byte{bucketLog, bucketSparse, bucketTopics, bucketKeys, bucketMarks} {
		if tx.Bucket(b) == nil {
			return found, missing(b)
		}
	}
	return found, nil
}

func damaged(path string, why error) error {
	return fmt.Errorf("%w: %s: %w", ErrDamaged, path, why)
}
