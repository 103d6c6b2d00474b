// Package bolt implements [store.Log] on one bbolt file, and provides tools for a file that nobody has open:
// [Verify], [Compact], [Restore].
//
//	log, err := bolt.Open(dir, bolt.Options{})
//
// A data directory has one log, and one process that holds it. docs/FORMAT.md draws the bytes.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// Log is a store.Log in one bbolt file.
//
// Ownership: the committer goroutine (commit.go) owns the write side: the topics' next states and every
// read-write transaction. Readers see it through the horizon (show.go). Everything else is immutable after
// Open.
type Log struct {
	*file
	*horizon
	id     store.ID
	secret [32]byte
	now    func() time.Time
	dir    *dir
	queue  *queue
	space  *space

	checking *checking
	mirror   *mirror // nil means this process alone

	suspects []store.ID    // records found damaged above the checkpoint by an Open
	stopped  chan struct{} // closed when the committer has returned

	// trims is read-locked by each step of a trim, and write-locked by Retain while it searches.
	trims   sync.RWMutex
	looking sync.Mutex // see committer
	passed  passed     // looking guards it
	copying sync.Mutex // held while a backup is made or open

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

var _ store.Log = (*Log)(nil)

// LogID is the identity of the log.
func (l *Log) LogID() store.ID { return l.id }

// Secret implements store.Log.
func (l *Log) Secret() [32]byte { return l.secret }

// Failed implements store.Log.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Wait implements store.Log.
func (l *Log) Wait(ctx context.Context, after store.ID) error {
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
			return l.failure()
		case <-l.closing:
			return store.ErrClosed
		}
	}
}

// Get implements store.Log.
func (l *Log) Get(id store.ID) (store.Event, error) {
	if l.Head().Before(id) {
		return store.Event{}, store.ErrNotFound
	}
	l.index.mu.RLock()
	topics := l.index.byID
	l.index.mu.RUnlock()
	var e store.Event
	err := l.view(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLog).Get(id[:])
		if value == nil {
			return store.ErrNotFound
		}
		r, ok := decodeRecord(id[:], value)
		if !ok || int(r.topic) >= len(topics) {
			return store.ErrCorrupt
		}
		if !l.trimmedOf(topics[r.topic], id).Before(id) {
			return store.ErrNotFound
		}
		e = new(arena).event(id, topics[r.topic].name, r)
		return nil
	})
	return e, err
}

// Floor implements store.Log.
func (l *Log) Floor(id store.ID) (floor store.ID, err error) {
	if head := l.Head(); head.Before(id) {
		id = head
	}
	err = l.view(func(tx *bbolt.Tx) error {
		floor = keyAtOrBelow(tx.Bucket(bucketLog).Cursor(), id)
		return nil
	})
	return floor, err
}

// Info implements store.Log.
func (l *Log) Info() (store.Info, error) {
	info := store.Info{LogID: l.id, Engine: "bbolt"}
	head := l.Head()
	l.index.mu.RLock()
	info.Topics = len(l.index.byID)
	info.Events, info.Bytes = l.index.events, l.index.bytes
	kept := l.index.kept
	info.Keys, info.OldestKey, info.Marks, info.Bare = kept.keys, kept.oldestKey, kept.marks, kept.bare
	l.index.mu.RUnlock()
	err := l.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		if k, _ := c.First(); k != nil && !head.Before(store.ID(k)) {
			info.First = store.ID(k)
			info.Last = keyAtOrBelow(c, head)
		}
		return nil
	})
	if err != nil {
		return store.Info{}, err
	}
	stat, err := l.handle.Stat()
	if err != nil {
		return store.Info{}, fmt.Errorf("size of the log file: %w", err)
	}
	info.DiskBytes = stat.Size()
	return info, nil
}

// Topics implements store.Log.
func (l *Log) Topics(f store.Filter) iter.Seq[store.TopicInfo] {
	return func(yield func(store.TopicInfo) bool) {
		var rows []store.TopicInfo
		l.index.list(selection{filter: f}, store.ID{}, func(t *topic) {
			rows = append(rows, t.visible.info(t.name))
		})
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

// Ended implements store.Log.
func (l *Log) Ended(f store.Filter) (last store.ID, all bool) {
	l.index.mu.RLock()
	defer l.index.mu.RUnlock()
	goesOn := f.IsZero()
	exact := f.EachTopic(func(name string) bool {
		t := l.index.byName[name]
		if goesOn = t == nil || t.visible.ended.IsZero(); !goesOn {
			last = store.Later(last, t.visible.ended)
		}
		return !goesOn
	})
	if goesOn || !exact {
		return store.ID{}, false
	}
	return last, true
}

// info returns the public form; its First may be stale.
func (s *topicState) info(name string) store.TopicInfo {
	info := store.TopicInfo{Topic: name, Count: s.count, Bytes: s.bytes, Trimmed: s.trimmed,
		Ended: s.ended}
	if s.count > 0 {
		info.First, info.Last = s.first, s.last
	}
	return info
}

// firstAfter looks up a topic's first event after a trimmed one; zero if it cannot be read.
func (l *Log) firstAfter(name string, trimmed store.ID) store.ID {
	f, err := store.NewFilter(name)
	if err != nil {
		return store.ID{}
	}
	page, err := l.NewReader(f, trimmed).Next(1)
	if err != nil || len(page.Events) == 0 {
		return page.Corrupt
	}
	return page.Events[0].ID
}

// closed returns ErrClosed once Close was called.
func (l *Log) closed() error {
	select {
	case <-l.closing:
		return store.ErrClosed
	default:
		return nil
	}
}

// Close implements store.Log.
func (l *Log) Close() error {
	l.closeOnce.Do(func() { l.closeErr = errors.Join(l.shut(), l.dir.close()) })
	return l.closeErr
}

// shut ends the log but keeps the directory. It is called once.
func (l *Log) shut() error {
	close(l.closing)
	l.queue.close()
	if l.mirror != nil {
		l.mirror.stop(l.stopped)
	}
	<-l.stopped
	<-l.checking.over
	if l.wedged.Load() {
		return nil
	}
	if l.failure() == nil && l.path == l.dir.file(fileName) {
		if err := l.leaveNote(); err != nil {
			l.logger.Warn("no clean-close marker written; the next start checks the whole file", "error", err)
		}
	}
	return l.db.Close()
}

// trimmedOf returns the ID up to which t is trimmed, zero if id is above everything ever trimmed. A trimmed
// record can still be found: in a transaction from before the trim, or because a damaged page number leads to
// a page no longer in use.
func (l *Log) trimmedOf(t *topic, id store.ID) store.ID {
	if l.Trimmed().Before(id) {
		return store.ID{}
	}
	l.index.mu.RLock()
	defer l.index.mu.RUnlock()
	return t.visible.trimmed
}
