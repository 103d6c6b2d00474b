package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

const (
	// floors is how many places of the sequence are considered as its floor.
	floors = 8

	// rewriting is the weight of a byte written again against a byte freed. With it, what remains is at most
	// one and a half times what is retained, because all of that could be written again.
	rewriting = 1.5

	// topicBytes is a guess at a topic's size in a state, with a placeholder and a trim.
	topicBytes = 128
)

// shrink purges the sequence when it is larger than twice what the log retains, plus the slack.
func (l *Log) shrink(ctx context.Context) error {
	m := l.mirror
	if m == nil || !m.shrinking.TryLock() {
		return nil
	}
	defer m.shrinking.Unlock()
	begin, may := m.states.look()
	extent, err := m.seq.Extent(ctx)
	switch {
	case errors.Is(err, store.ErrUnavailable): // commits find that too, and report it
		return nil
	case err != nil:
		return fmt.Errorf("look at the sequence: %w", err)
	case extent.Bytes <= 2*l.kept()+m.slack:
		return nil
	}
	if err := l.purge(ctx, extent, begin, may); err != nil && !errors.Is(err, errSuperseded) {
		return fmt.Errorf("purge the sequence: %w", err)
	}
	return nil
}

// kept is roughly the size of everything that the log keeps.
func (l *Log) kept() uint64 {
	l.index.mu.RLock()
	defer l.index.mu.RUnlock()
	beside := uint64(l.index.kept.keys)*keySize + uint64(len(l.index.byID))*topicBytes
	return l.index.bytes + max(beside, l.mirror.beside)
}

func (l *Log) purge(ctx context.Context, extent store.Extent, begin uint64, may bool) error {
	m := l.mirror
	newest, err := m.newestState(ctx)
	if err != nil {
		return err
	}
	if extent.First <= newest.Floor.Number { // whoever wrote that state has not purged yet
		return l.purgeBelow(ctx, newest)
	}
	if !may {
		return nil
	}
	if err := l.checked(ctx); err != nil { // damage may hide events
		return err
	}
	closing, err := l.chooseFloor(ctx, extent, max(newest.Floor.Number, m.states.floor()))
	if err != nil || closing == nil {
		return err
	}
	if err := l.mayWrite(ctx, closing, extent); err != nil {
		return err
	}
	if err := l.writeState(ctx, closing, begin); err != nil {
		return err
	}
	return l.purgeBelow(ctx, closing)
}

// mayWrite builds a state and places nothing: a part of one that cannot be completed would be written again
// at each pass.
func (l *Log) mayWrite(ctx context.Context, closing *commit.Closing, extent store.Extent) error {
	need := uint64(0)
	s := &seed{view: l.view, through: closing.Head, bytes: partBytes, place: func(k *commit.Commit) error {
		b, _ := k.AppendBinary(nil) // never fails
		need += uint64(len(b))
		return context.Cause(ctx)
	}}
	switch err := s.grow(); {
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("%w: stop this node, move its log.db away and start it again: it rebuilds its mirror; "+
			"another node purges in the meantime", err)
	case err != nil:
		return err
	case extent.Max > 0 && extent.Bytes+need > extent.Max:
		return fmt.Errorf("%w: no room for the state of %d bytes beside the %d that the sequence has; its limit is %d",
			store.ErrNoSpace, need, extent.Bytes, extent.Max)
	}
	return nil
}

func (l *Log) purgeBelow(ctx context.Context, c *commit.Closing) error {
	err := l.mirror.seq.Purge(ctx, c.Floor)
	if err == nil {
		l.mirror.logger.Info("purged the sequence", "through", c.Floor.Number)
	}
	return err
}

// newestState returns the end of the newest complete state; the zero Closing if there is none.
func (m *mirror) newestState(ctx context.Context) (*commit.Closing, error) {
	at, b, err := m.seq.State(ctx)
	if err != nil || at == (store.Place{}) {
		return new(commit.Closing), err
	}
	k, err := commit.Decode(b)
	if err == nil && (k.State == nil || k.State.Closing == nil) {
		err = errors.New("it does not close a state")
	}
	if err != nil {
		return nil, fmt.Errorf("place %d of the sequence: %w", at.Number, err)
	}
	return k.State.Closing, nil
}

// candidate is a place that may become the floor.
type candidate struct {
	commit.Closing
	freed, rewritten float64 // bytes
}

// chooseFloor returns the best place, above the given one, to purge up to; nil if it is not worth it.
func (l *Log) chooseFloor(ctx context.Context, extent store.Extent, above uint64) (*commit.Closing, error) {
	var found []candidate // in order
	for i := range uint64(floors) {
		number := extent.First - 1 + (extent.Last-extent.First)/floors*(i+1)
		if i == floors-1 {
			number = extent.Last - 1
		}
		after, b, err := l.mirror.seq.Find(ctx, number)
		if err != nil {
			return nil, err
		}
		if after.Number <= above || after.Number > l.mirror.place().Number {
			continue
		}
		next, err := commit.Decode(b)
		if err != nil {
			return nil, fmt.Errorf("after place %d of the sequence: %w", after.Number, err)
		}
		share := float64(after.Number-extent.First+1) / float64(extent.Last-extent.First+1)
		found = append(found, candidate{Closing: commit.Closing{Floor: after, Head: next.After},
			freed: share * float64(extent.Bytes)})
		above = after.Number
	}
	l.mirror.warnOfNoFloor(len(found) == 0 && l.mirror.place().Number >= extent.Last, extent)
	if err := errors.Join(l.weigh(ctx, found), l.weighBeside()); err != nil {
		return nil, err
	}
	var best *commit.Closing
	most := rewriting * float64(l.mirror.beside)
	for i := range found {
		if c := &found[i]; c.freed-rewriting*c.rewritten > most {
			most, best = c.freed-rewriting*c.rewritten, &c.Closing
		}
	}
	return best, nil
}

// warnOfNoFloor warns once while a sequence that is too large has no floor.
func (m *mirror) warnOfNoFloor(none bool, extent store.Extent) {
	if none && !m.floorless {
		m.logger.Warn("the sequence takes too much space and cannot be purged: it has no floor, and grows",
			"bytes", extent.Bytes, "first", extent.First, "last", extent.Last)
	}
	m.floorless = none
}

// weighBeside measures what a state holds besides events.
func (l *Log) weighBeside() error {
	return l.view(func(tx *bbolt.Tx) error {
		l.mirror.beside = 0
		for _, name := range [][]byte{bucketTopics, bucketKeys, bucketMarks, bucketDeliveries, bucketSlots,
			bucketEpochs} {
			if b := tx.Bucket(name); b != nil {
				l.mirror.beside += uint64(b.Stats().LeafInuse)
			}
		}
		return nil
	})
}

// weigh measures what is retained below each candidate.
func (l *Log) weigh(ctx context.Context, found []candidate) error {
	var bytes float64
	var from store.ID
	for more := len(found) > 0; more; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := l.view(func(tx *bbolt.Tx) error {
			c := tx.Bucket(bucketLog).Cursor()
			k, v := c.Seek(from[:])
			for n := 0; n < retainStep && more; n++ {
				for more && (k == nil || found[0].Head.Before(store.ID(k))) {
					found[0].rewritten = bytes
					found = found[1:]
					more = len(found) > 0
				}
				if k != nil {
					bytes += float64(len(k) + len(v))
					k, v = c.Next()
				}
			}
			if k != nil {
				from = store.ID(k)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
