package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tidings/store"
	"tidings/store/internal/commit"
)

// Open opens the log in the directory path, creating it if there is none unless Options.MustExist is set, and
// holds the directory until Close. A file that exists is opened or refused, never replaced: ErrLocked,
// ErrUnsafe, ErrDamaged and ErrNewerFormat say why and what to do.
func Open(path string, o Options) (*Log, error) {
	o = o.withDefaults()
	if o.MustExist { // before anything is created
		if _, err := (&dir{path: path}).mustFind(); err != nil {
			return nil, err
		}
	}
	d, err := hold(path)
	if err != nil {
		return nil, err
	}
	l, err := openIn(d, o)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return l, nil
}

func openIn(d *dir, o Options) (*Log, error) {
	info, err := d.find()
	if info == nil && err == nil {
		err = d.refuseUnfinished()
	}
	if err == nil {
		err = d.clean()
	}
	if err != nil {
		return nil, err
	}
	if o.Sequencer != nil {
		return openMirror(d, info != nil, o)
	}
	if info == nil {
		if err = makeLog(d, o, store.ID{}); err != nil {
			return nil, err
		}
	}
	return open(d, fileName, o)
}

// makeLog creates an empty log; a mirror of the log with the given ID, unless that is zero. A crash leaves no
// log or a whole one.
func makeLog(d *dir, o Options, mirrored store.ID) error {
	if err := create(d, newName, o.Now(), mirrored); err != nil {
		return err
	}
	o.Logger.Info("created a new log", "file", d.file(fileName))
	return d.install(newName)
}

// Fill runs fill on the log in the directory path. If there is none it creates one, which becomes the log
// when fill has returned without an error; until then, and permanently after a crash, Open refuses it. The
// errors are Open's, and fill's own.
func Fill(path string, o Options, fill func(*Log) error) error {
	o, o.CheckAll = o.withDefaults(), true
	d, err := hold(path)
	if err != nil {
		return err
	}
	info, err := d.find()
	if err == nil {
		err = d.clean()
	}
	name := fileName
	if info == nil && err == nil {
		name = unfinishedName
		err = create(d, name, o.Now(), store.ID{})
	}
	if err != nil {
		return errors.Join(err, d.close())
	}
	l, err := open(d, name, o)
	if err == nil {
		err = errors.Join(fill(l), l.shut())
	}
	switch {
	case name == fileName:
	case err == nil:
		err = d.install(name)
	default:
		err = errors.Join(err, d.clean())
	}
	return errors.Join(err, d.close())
}

// open opens a log in a directory that is held.
func open(d *dir, name string, o Options) (*Log, error) {
	began := time.Now()
	l, c := assemble(d, name, o)
	err := l.openFile(func(tx *bbolt.Tx) error {
		if err := l.loadPlace(tx, o); err != nil {
			return err
		}
		return c.load(tx)
	})
	if err != nil {
		if errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w; restore a backup, or move the file away to start a new log", err)
		}
		return nil, err
	}
	l.suspects = c.suspects
	l.counters.opening = time.Since(began)
	go l.checkRest()
	if l.mirror != nil {
		defer context.AfterFunc(o.Context, l.mirror.leave)() // only until the log is open
		if err = c.loadState(o.Context); err == nil {
			go l.mirror.follow(l.mirror.place())
			err = c.join(o.Context, o.plant)
		} else {
			close(l.mirror.followed)
		}
	}
	go c.run()
	if errors.Is(err, store.ErrDiverged) {
		err = fmt.Errorf("%w; this log has %s", err, l.Lost(o.Context))
	}
	if err != nil {
		return nil, errors.Join(err, l.shut())
	}
	return l, nil
}

// assemble returns a log that is not open yet, and its committer.
func assemble(d *dir, name string, o Options) (*Log, *committer) {
	f := &file{path: d.file(name), logger: o.Logger, counters: newCounters(),
		failed: make(chan struct{})}
	l := &Log{file: f, horizon: &horizon{index: newIndex()}, now: o.Now, dir: d,
		queue: newQueue(o.QueueTimeout), stopped: make(chan struct{}), closing: make(chan struct{}),
		space: &space{dir: d.path, minFree: o.MinFree, disk: o.Disk, logger: o.Logger,
			now: o.Now}}
	l.checking = newChecking(f, l.closing)
	if o.Sequencer != nil {
		l.mirror = newMirror(l, o)
		l.queue.held = l.mirror.ready
	}
	if !o.CheckAll {
		l.checking.pages.closed = d.closedNote()
	}
	return l, &committer{file: f, horizon: l.horizon, queue: l.queue, space: l.space,
		now: o.Now, logger: o.Logger, stopped: l.stopped, between: o.between, committed: o.committed,
		mirror: l.mirror, checking: l.checking, looking: &l.looking,
		epoch:  store.NewEpoch(),
		window: o.KeyWindow, past: o.Past,
		limits: commit.Limits{MaxTopics: o.MaxTopics, MaxMarks: o.MaxMarks, MaxKeys: o.MaxKeys}}
}

// refusal is an error about a file that is intact.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// openFile opens the log file, checks it and loads what is kept in memory.
func (l *Log) openFile(load func(*bbolt.Tx) error) (err error) {
	found := l.checking.pages
	defer func() {
		if err != nil {
			err = errors.Join(err, found.close())
		}
	}()
	info, err := os.Lstat(l.path)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	l.dir.warn(info, l.logger)
	kept := false // whether the log has a secret
	if err := checkWhole(l.path, info.Size(), found, func(tx *bbolt.Tx) (err error) {
		kept, err = l.load(tx, load)
		return err
	}); err != nil {
		return err
	}
	l.checking.opened()
	l.space.opened(found.free())
	if err := found.saveFreeList(l.path); err != nil {
		l.logger.Debug("bbolt has to scan for free pages itself", "error", err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(damaged(l.path, fmt.Errorf("%v", p)), abandon(l.handle))
		}
	}()
	if err := l.openBolt(found.tx); err != nil {
		return err
	}
	if err := l.settle(kept); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", l.path, err), l.db.Close())
	}
	if err := remove(l.dir.file(closedName)); err != nil { // it is no longer valid
		return errors.Join(fmt.Errorf("remove the clean-close marker: %w", err), l.db.Close())
	}
	return nil
}

// load reads what is kept in memory, and reports whether the log already has a secret.
func (l *Log) load(tx *bbolt.Tx, rest func(*bbolt.Tx) error) (kept bool, err error) {
	if l.id, err = getMetaID(tx, metaLogID); err != nil {
		return false, err
	}
	if l.secret, kept, err = getSecret(tx); err != nil {
		return false, err
	}
	err = rest(tx)
	// A damaged page number can hide events: it leads to an older page, which is sound in itself.
	l.checking.counted = l.index.events
	if err == nil && !l.checking.pages.quick {
		err = l.checking.compare()
	}
	return kept, err
}

// settle makes durable what was read, and the secret, if it is new.
//
// What the last run committed may be visible and not yet on disk, if it ended between the two. A sync alone
// would not be enough: after a failed one the kernel takes the page for clean. An empty transaction rewrites
// the page, and needs no space.
func (l *Log) settle(kept bool) error {
	if !kept {
		err := l.db.Update(func(tx *bbolt.Tx) error { return putMeta(tx, metaSecret, l.secret[:]) })
		if !isFull(err) {
			return err
		}
		l.logger.Warn("disk full: the log gets a new secret at each start", "error", err)
	}
	return l.db.Update(func(*bbolt.Tx) error { return nil })
}

// openBolt opens the file for writing, and refuses it unless it is as it was checked: its last transaction is
// tx.
func (l *Log) openBolt(tx uint64) (err error) {
	l.db, err = bbolt.Open(l.path, fileMode, &bbolt.Options{
		Timeout: lockWait,
		// The free list is rebuilt at open: written with every commit it could far outweigh the events once
		// retention has freed pages.
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		InitialMmapSize: mapBytes, NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := openFile(name, flag, mode)
			l.handle = f
			return f, err
		},
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", l.path, err)
	}
	err = l.db.View(func(now *bbolt.Tx) error {
		if uint64(now.ID()) != tx {
			return fmt.Errorf("%w: another process has written to %s meanwhile", ErrLocked, l.path)
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, l.db.Close())
	}
	return nil
}

// create creates a new log under a name that is not yet the log's. (A torn first write of a bbolt file cannot
// be opened again.)
func create(d *dir, name string, now time.Time, mirrored store.ID) error {
	f, err := d.create(name)
	if err != nil {
		return fmt.Errorf("create the log: %w", err)
	}
	db, err := bbolt.Open(d.file(name), fileMode, &bbolt.Options{NoFreelistSync: true,
		FreelistType: bbolt.FreelistMapType, OpenFile: openFile})
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("create the log: %w", err)
	}
	if err := errors.Join(db.Update(func(tx *bbolt.Tx) error {
		if err := initialise(tx, now); err != nil || mirrored.IsZero() {
			return err
		}
		return makeMirror(tx, mirrored)
	}), db.Sync(), db.Close()); err != nil {
		return fmt.Errorf("create the log: %w", err)
	}
	return nil
}

func initialise(tx *bbolt.Tx, now time.Time) error {
	for _, name := range [][]byte{bucketLog, bucketSparse, bucketTopics, bucketKeys,
		bucketMarks, bucketMeta, bucketEpochs} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	id, err := store.NewID(now)
	if err != nil {
		return err
	}
	secret, _, err := getSecret(tx)
	if err != nil {
		return err
	}
	zero := store.ID{}
	return errors.Join(
		fillReserve(tx, 0),
		putFormat(tx),
		putMeta(tx, metaLogID, id[:]),
		putMeta(tx, metaHead, zero[:]),
		putMeta(tx, metaTrimmed, zero[:]),
		putMeta(tx, metaCheckpoint, zero[:]),
		putMeta(tx, metaSuspects, nil),
		putMeta(tx, metaSecret, secret[:]),
	)
}

// checkWhole refuses what bbolt would open as a new database, misread, or fault on: an empty file, another
// kind of file, one shorter than its own count of pages, one of a newer format. It has load read an intact
// file, which load may still refuse as damaged.
func checkWhole(path string, size int64, p *pages, load func(*bbolt.Tx) error) (err error) {
	refuse := func(why error) error { return damaged(path, why) }
	if size == 0 {
		return refuse(errors.New("the file is empty"))
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = refuse(fmt.Errorf("%v", p))
		}
	}()
	db, err := bbolt.Open(path, fileMode,
		&bbolt.Options{ReadOnly: true, Timeout: lockWait, OpenFile: openFile})
	switch {
	case errors.Is(err, berrors.ErrTimeout): // opened by another path to the same file
		return fmt.Errorf("%w: another process has %s open", ErrLocked, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open %s: %w", path, err)
	case err != nil:
		return refuse(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if err := checkLog(tx, path, size, p); err != nil {
			return err
		}
		err := load(tx)
		if r := (refusal{}); errors.As(err, &r) {
			return r.error
		}
		if err != nil {
			return refuse(err)
		}
		return nil
	})
}

// checkLog is checkWhole for what bbolt can open.
func checkLog(tx *bbolt.Tx, path string, size int64, p *pages) error {
	if tx.Size() > size {
		return damaged(path, fmt.Errorf(
			"the file is cut short: it has %d bytes, its pages need %d", size, tx.Size()))
	}
	if err := p.check(tx); err != nil {
		return damaged(path, err)
	}
	missing := func(bucket []byte) error {
		return damaged(path, fmt.Errorf(
			"it is a bbolt file without the bucket %q, so not a log of this program", bucket))
	}
	if tx.Bucket(bucketMeta) == nil {
		return missing(bucketMeta)
	}
	v, err := getMeta(tx, metaFormat)
	if err != nil || len(v) != 4 {
		return damaged(path, errors.Join(err, errors.New("unknown format")))
	}
	if got := binary.BigEndian.Uint32(v); got > formatNewest {
		return fmt.Errorf("%w: %s has format %d, this release reads up to %d; "+
			"start it with the release that wrote it, or a newer one",
			ErrNewerFormat, path, got, formatNewest)
	}
	if _, mirror, err := getPlace(tx); err != nil || mirror != (binary.BigEndian.Uint32(v) == formatMirror) {
		return damaged(path, errors.Join(err, errors.New("its format does not match whether it has a place")))
	}
	for _, b := range [][]byte{bucketLog, bucketSparse, bucketTopics, bucketKeys, bucketMarks} {
		if tx.Bucket(b) == nil {
			return missing(b)
		}
	}
	return nil
}

func damaged(path string, why error) error {
	return fmt.Errorf("%w: %s: %w", ErrDamaged, path, why)
}
