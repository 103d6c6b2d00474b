package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Options configures Open. The zero value holds the defaults.
type Options struct {
	Now       func() time.Time // the wall clock; default time.Now
	Logger    *slog.Logger     // default: discard
	MaxTopics int              // topics ever appended to; default DefaultMaxTopics

	// Idempotency keys are remembered for KeyWindow, but at most MaxKeys of them: the oldest are
	// forgotten first. Each costs about 75 bytes on disk and 80 in memory.
	KeyWindow time.Duration // default DefaultKeyWindow
	MaxKeys   int           // default DefaultMaxKeys

	MaxMarks int // read marks; default DefaultMaxMarks

	// MinFree returns how many bytes of a disk of this size stay free. Below that Append is ErrNoSpace, except into
	// space that trims have freed. It is asked before each commit; nil: there is no floor.
	MinFree func(total uint64) uint64
	Disk    func(dir string) (free, total uint64, err error) // default DiskSpace
}

const (
	// DefaultMaxTopics bounds the topics of a log: each costs about 125 bytes on disk and 400 to 800 in
	// memory, for ever, because its record holds what was trimmed.
	DefaultMaxTopics = 1_000_000

	DefaultKeyWindow = 24 * time.Hour
	DefaultMaxKeys   = 1_000_000

	// mapBytes is the address space reserved for the file. bbolt must wait for every reader before
	// it can enlarge the map, so it is made large once; untouched address space costs nothing.
	mapBytes = 64 << 30
)

// Bolt is the Log on one bbolt file.
//
// Ownership: the committer goroutine (commit.go) owns the write side: the last ID, the topics'
// work state, every read-write transaction. It shows readers trimmed, index and head, in this
// order; a reader loads head first. Everything else is immutable after Open.
type Bolt struct {
	path      string
	maxTopics int // topics at most
	maxMarks  int
	log       *slog.Logger
	now       func() time.Time
	id        ID
	lock      *flock.Flock
	db        *bbolt.DB
	file      *os.File // the one bbolt has open; only for Stat
	suspects  []ID     // records that an Open found damaged above its checkpoint

	index   *index
	head    atomic.Pointer[ID]
	trimmed atomic.Pointer[ID]

	queue     *queue
	committer *committer
	counters  *counters
	stopped   chan struct{} // closed when the committer has returned

	readers   sync.RWMutex // read-locked by each view; write-locked while a transaction begins that must be able to use every free page
	trims     sync.RWMutex // read-locked by each step of a trim; write-locked by Excess, and by Retain while it looks
	copying   sync.Mutex   // held while a backup is made or open
	moved     broadcast    // on every move of the head
	failed    chan struct{}
	failOnce  sync.Once
	err       error       // set before failed is closed
	wedged    atomic.Bool // bbolt panicked, and may hold its locks for ever
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// broadcast wakes all who wait, by closing the channel they got and replacing it.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

var _ Log = (*Bolt)(nil)

// LogID is the identity of the log.
func (l *Bolt) LogID() ID { return l.id }

// Head implements Log.
func (l *Bolt) Head() ID { return *l.head.Load() }

// Trimmed implements Log.
func (l *Bolt) Trimmed() ID { return *l.trimmed.Load() }

// Failed implements Log.
func (l *Bolt) Failed() <-chan struct{} { return l.failed }

// Err implements Log.
func (l *Bolt) Err() error {
	select {
	case <-l.failed:
		return l.err
	default:
		return nil
	}
}

// fail refuses writes from now on, for the first reason given.
func (l *Bolt) fail(why error) error {
	l.failOnce.Do(func() {
		l.err = fmt.Errorf("%w: %w", ErrFailed, why)
		l.log.Error("log failed", "error", why)
		close(l.failed)
	})
	return l.err
}

// Wait implements Log.
func (l *Bolt) Wait(ctx context.Context, after ID) error {
	for {
		moved := l.moved.wait()
		if after.Before(l.Head()) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.failed:
			return l.Err()
		case <-l.closing:
			return ErrClosed
		}
	}
}

// view runs fn in a short read transaction: fn waits for nothing.
func (l *Bolt) view(fn func(*bbolt.Tx) error) error {
	l.readers.RLock()
	defer l.readers.RUnlock()
	return l.read(fn)
}

// read runs fn in a read transaction. bbolt panics on pages that make no sense, and a file that was
// cut short under the map faults: both end as an error here, and fail the log.
func (l *Bolt) read(fn func(*bbolt.Tx) error) (err error) {
	if l.wedged.Load() {
		<-l.failed // or is about to be
		return l.err
	}
	begun := false
	l.counters.reading.Add(1)
	defer l.counters.reading.Add(-1)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if !begun {
				l.wedged.Store(true)
			}
			err = l.fail(fmt.Errorf("reading %s: %v; run tidings verify, then restore a backup", l.path, p))
		}
	}()
	err = l.db.View(func(tx *bbolt.Tx) error {
		begun = true
		return fn(tx)
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Get implements Log.
func (l *Bolt) Get(id ID) (Event, error) {
	if l.Head().Before(id) {
		return Event{}, ErrNotFound
	}
	l.index.mu.RLock()
	topics := l.index.byID
	l.index.mu.RUnlock()
	var e Event
	err := l.view(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLog).Get(id[:])
		if value == nil {
			return ErrNotFound
		}
		r, ok := decodeRecord(id[:], value)
		if !ok || int(r.topic) >= len(topics) {
			return ErrCorrupt
		}
		if !l.trimmedOf(topics[r.topic], id).Before(id) {
			return ErrNotFound
		}
		e = new(arena).event(id, topics[r.topic].name, r)
		return nil
	})
	return e, err
}

// Floor implements Log.
func (l *Bolt) Floor(id ID) (floor ID, err error) {
	if head := l.Head(); head.Before(id) {
		id = head
	}
	err = l.view(func(tx *bbolt.Tx) error {
		floor = keyAtOrBelow(tx.Bucket(bucketLog).Cursor(), id)
		return nil
	})
	return floor, err
}

// keyAtOrBelow moves c to the highest key at or below id and returns it, zero if there is none.
func keyAtOrBelow(c *bbolt.Cursor, id ID) ID {
	k, _ := c.Seek(id[:])
	if k == nil {
		k, _ = c.Last()
	}
	for k != nil && id.Before(ID(k)) {
		k, _ = c.Prev()
	}
	if k == nil {
		return ID{}
	}
	return ID(k)
}

// Info implements Log.
func (l *Bolt) Info() (Info, error) {
	info := Info{LogID: l.id, Engine: "bbolt"}
	head := l.Head()
	l.index.mu.RLock()
	info.Topics = len(l.index.byID)
	info.Events, info.Bytes = l.index.events, l.index.bytes
	info.Keys, info.OldestKey = l.index.keys, l.index.oldestKey
	l.index.mu.RUnlock()
	err := l.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		if k, _ := c.First(); k != nil && !head.Before(ID(k)) {
			info.First = ID(k)
			info.Last = keyAtOrBelow(c, head)
		}
		return nil
	})
	if err != nil {
		return Info{}, err
	}
	stat, err := l.file.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("size of the log file: %w", err)
	}
	info.FileBytes = stat.Size()
	return info, nil
}

// Topics implements Log.
func (l *Bolt) Topics(f Filter) iter.Seq[TopicInfo] {
	return func(yield func(TopicInfo) bool) {
		var rows []TopicInfo
		l.index.mu.RLock()
		l.index.match(f, ID{}, func(t *topic) { rows = append(rows, t.state.info(t.name)) })
		l.index.mu.RUnlock()
		for _, row := range rows {
			if row.Count > 0 && !row.Trimmed.Before(row.First) {
				row.First = l.firstAfter(row.Topic, row.Trimmed)
			}
			if !yield(row) {
				return
			}
		}
	}
}

// Ended implements Log.
func (l *Bolt) Ended(f Filter) (last ID, all bool) {
	l.index.mu.RLock()
	defer l.index.mu.RUnlock()
	for _, pattern := range f.patterns {
		name, ok := exact(pattern)
		t := l.index.byName[name]
		if !ok || t == nil || t.state.ended.IsZero() {
			return ID{}, false
		}
		if last.Before(t.state.ended) {
			last = t.state.ended
		}
	}
	return last, len(f.patterns) > 0
}

// info is the public form; its First may be stale.
func (s *topicState) info(name string) TopicInfo {
	info := TopicInfo{Topic: name, Count: s.count, Bytes: s.bytes, Trimmed: s.trimmed, Ended: s.ended}
	if s.count > 0 {
		info.First, info.Last = s.first, s.tip
	}
	return info
}

// firstAfter looks up a topic's first event after one that was trimmed; zero when it cannot be read.
func (l *Bolt) firstAfter(name string, trimmed ID) ID {
	r := l.NewReader(Filter{patterns: [][]string{strings.Split(name, ".")}}, trimmed)
	page, err := r.Next(1)
	if err != nil || len(page.Events) == 0 {
		return page.Corrupt
	}
	return page.Events[0].ID
}

// closed is ErrClosed once Close was called.
func (l *Bolt) closed() error {
	select {
	case <-l.closing:
		return ErrClosed
	default:
		return nil
	}
}

// Close implements Log.
func (l *Bolt) Close() error {
	l.closeOnce.Do(func() {
		close(l.closing)
		l.queue.close()
		<-l.stopped
		if !l.wedged.Load() {
			l.closeErr = l.db.Close()
		}
		l.closeErr = errors.Join(l.closeErr, l.lock.Close())
	})
	return l.closeErr
}
