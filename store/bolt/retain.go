package bolt

import (
	"cmp"
	"context"
	"slices"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

const (
	// retainEvents bounds how many events are found before they are deleted, and with it the memory
	// for that. The more there are, the more of them share a page of the log, which is then written
	// once for all of them.
	retainEvents = 64 << 10

	// retainStep bounds the records that one transaction of finding them looks at.
	retainStep = 4096

	// surplusStep bounds the topics that are looked at in one go, for which a commit waits.
	surplusStep = 1024
)

// Retain implements store.Log.
func (l *Log) Retain(ctx context.Context, f store.Filter,
	limits func(topic string) store.Limits) (deleted int, err error) {
	for steps := l.newSteps(); ; {
		trims, err := l.surplus(ctx, f, limits)
		if err != nil {
			return deleted, err
		}
		n, err := steps.delete(ctx, trims)
		deleted += n
		if err != nil || len(trims) < retainEvents {
			return deleted, err
		}
	}
}

// surplus returns what the limits do not keep, about retainEvents of it at most, in the order of
// the log. The lock keeps every trim out, so that what is counted is what is read: an append
// meanwhile only adds to what is kept.
func (l *Log) surplus(ctx context.Context, f store.Filter,
	limits func(topic string) store.Limits) (trims []commit.Trim, err error) {
	l.trims.Lock()
	defer l.trims.Unlock()
	head, open := l.Head(), l.surpluses(f, limits)
	r := &reader{l: l, from: selection{only: open}, idsOnly: true}
	for len(open) > 0 && len(trims) < retainEvents && r.pos.Before(head) {
		page, err := r.Next(retainStep)
		if err = cmp.Or(context.Cause(ctx), err); err != nil {
			return nil, err
		}
		for i, row := range r.rows {
			id := page.Events[i].ID
			s := open[row.topic]
			if s == nil {
				continue
			}
			if s.takes(id) {
				trims = append(trims, commit.Trim{Topic: row.topic.id, ID: id})
				s.less(1, row.size)
			}
			if !s.takes(id) {
				row.topic.oldest = id
				delete(open, row.topic)
			}
		}
		// it counts, and stays: what follows must not go in its place, whichever topic it is of
		if !page.Corrupt.IsZero() {
			size, err := l.recordSize(page.Corrupt)
			if err != nil {
				return nil, err
			}
			for t, s := range open {
				if s.less(1, size); !s.takes(page.Corrupt) {
					delete(open, t)
				}
			}
		}
	}
	return trims, nil
}

// surplus is what a topic has too much of, as far as it has not been found.
type surplus struct {
	before        store.ID // what is older is too old
	events, bytes uint64
}

// takes reports whether the oldest event that has not been found is too much when it lies at id.
func (s *surplus) takes(id store.ID) bool {
	return s.events > 0 || s.bytes > 0 ||
		id.Before(s.before)
}

func (s *surplus) less(events, bytes uint64) {
	s.events, s.bytes = saturatingSub(s.events, events), saturatingSub(s.bytes, bytes)
}

// surpluses returns the topics that may have something to delete. A topic's oldest event is not
// always known, but it follows what was trimmed, and is not before what an earlier look has found.
func (l *Log) surpluses(f store.Filter,
	limits func(topic string) store.Limits) map[*topic]*surplus {
	l.index.mu.RLock()
	topics := l.index.byID
	l.index.mu.RUnlock()
	found := make(map[*topic]*surplus)
	var states [surplusStep]topicState
	for chunk := range slices.Chunk(topics, surplusStep) {
		l.index.mu.RLock()
		for i, t := range chunk {
			states[i] = t.visible
		}
		l.index.mu.RUnlock()
		for i, t := range chunk {
			state := &states[i]
			if state.count == 0 || !f.Match(t.name) {
				continue
			}
			limit := limits(t.name)
			s := surplus{limit.Before, over(state.count, limit.Events),
				over(state.bytes, limit.Bytes)}
			if s.takes(slices.MaxFunc([]store.ID{state.first, state.trimmed, t.oldest},
				store.ID.Compare)) {
				found[t] = new(s)
			}
		}
	}
	return found
}

// limited is how much of n is above the limit, 0 being no limit.
func over(n, limit uint64) uint64 {
	if limit == 0 {
		return 0
	}
	return saturatingSub(n, limit)
}

// recordSize returns what the record adds to the books, 0 if there is none.
func (l *Log) recordSize(id store.ID) (size uint64, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		if value := tx.Bucket(bucketLog).Get(id[:]); value != nil {
			size = uint64(len(id) + len(value))
		}
		return nil
	})
	return size, err
}
