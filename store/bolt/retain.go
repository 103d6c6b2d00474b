package bolt

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

const (
	// retainEvents bounds how many events are found before they are deleted, and thereby the memory for them.
	// The more there are, the more of them share a page of the log, which is then written once for all of
	// them.
	retainEvents = 64 << 10

	// retainStep bounds the records that one transaction of the search examines.
	retainStep = 4096
)

// Retain implements store.Log. For a mirror it also purges the sequence, when that is much larger than what
// the log keeps.
func (l *Log) Retain(ctx context.Context, keep store.Retention) (deleted int, err error) {
	if err := cmp.Or(l.closed(), l.hanging()); err != nil {
		return 0, err
	}
	for _, look := range []func(store.Retention) *search{l.excessOfTopics, l.excessOfLog} {
		n, err := l.deleteExcess(ctx, func() *search { return look(keep) }, keep.Deleted)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, l.shrink(ctx)
}

// deleteExcess searches and deletes in turn, until a search finds less than its maximum. While another node
// deletes, it gives way: docs/adr/0022.
func (l *Log) deleteExcess(ctx context.Context, look func() *search,
	tell func(oldest, newest store.ID)) (deleted int, err error) {
	steps := l.newSteps()
	defer steps.end()
	for {
		steps.void = l.mirror.voidByTrim()
		trims, err := l.findExcess(ctx, look)
		if err != nil {
			return deleted, err
		}
		n, err := steps.delete(ctx, trims)
		deleted += n
		if n > 0 && tell != nil {
			tell(trims[0].ID, trims[min(n, len(trims))-1].ID)
		}
		if errors.Is(err, errGivesWay) {
			if err = l.mirror.untilNobodyTrims(ctx); err == nil {
				continue
			}
		}
		if err != nil || len(trims) < retainEvents {
			return deleted, err
		}
	}
}

// errGivesWay stops a deletion when another node has deleted something since the search.
var errGivesWay = errors.New("another node trims")

// voidByTrim returns a function that reports whether another node's trim was applied since.
func (m *mirror) voidByTrim() func() bool {
	if m == nil {
		return func() bool { return false }
	}
	before := m.trims.Load()
	return func() bool { return m.trims.Load() != before }
}

// trimPause is how long no other node may have trimmed before this one does, plus up to as much again at
// random: of two nodes that gave way to each other, one is first.
const trimPause = time.Second

// untilNobodyTrims waits until no other node has trimmed for a while.
func (m *mirror) untilNobodyTrims(ctx context.Context) error {
	for trims := m.voidByTrim(); ; trims = m.voidByTrim() {
		select {
		case <-time.After(trimPause + rand.N(trimPause)):
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-m.ctx.Done():
			return store.ErrClosed
		case <-m.file.failed:
			return m.file.failure()
		}
		if !trims() {
			return nil
		}
	}
}

// findExcess returns the events beyond the limits, roughly retainEvents at most, in log order. The lock keeps
// every trim out, so that the counts match what is read: a concurrent append only adds to what is kept.
func (l *Log) findExcess(ctx context.Context,
	look func() *search) (trims []commit.Trim, err error) {
	l.trims.Lock()
	defer l.trims.Unlock()
	l.looking.Lock()
	defer l.looking.Unlock()
	if err := l.hanging(); err != nil {
		return nil, err // a trim whose outcome is unknown may still take effect
	}
	head, s := l.Head(), look()
	for s.goesOn() && len(trims) < retainEvents && s.reader.pos.Before(head) {
		page, err := s.reader.Next(s.step)
		if err = cmp.Or(context.Cause(ctx), err); err != nil {
			return nil, err
		}
		for i, row := range s.reader.rows {
			id := page.Events[i].ID
			e := s.of(row.topic)
			if e == nil {
				continue
			}
			if e.has(id) {
				if !s.stays(row.topic, id, row.size) {
					trims = append(trims, commit.Trim{Topic: row.topic.id, ID: id})
				}
				e.found(row.size)
			}
			if !e.has(id) {
				if s.whole == nil { // a search of the whole log says nothing about the topic's own limits
					row.topic.oldest = id
				}
				s.end(row.topic)
			}
		}
		if !page.Corrupt.IsZero() {
			size, err := l.recordSize(page.Corrupt)
			if err != nil {
				return nil, err
			}
			s.pass(page.Corrupt, size)
		}
	}
	return trims, nil
}

// recordSize returns what the record counts for in the log's bytes, 0 if there is none.
func (l *Log) recordSize(id store.ID) (size uint64, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		if value := tx.Bucket(bucketLog).Get(id[:]); value != nil {
			size = uint64(len(id) + len(value))
		}
		return nil
	})
	return size, err
}
