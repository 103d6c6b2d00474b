package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"tidings/store"
)

// State implements store.Sequencer.
func (s *Sequencer) State(ctx context.Context) (at store.Place, commit []byte, err error) {
	m, err := s.last(ctx, ofState)
	if err != nil {
		return at, nil, fmt.Errorf("%w: the state in the stream: %w", store.ErrUnavailable, err)
	}
	if m == nil {
		return at, nil, nil
	}
	e, err := s.whole(m)
	if err != nil {
		return at, nil, err
	}
	return store.Place{Number: m.Sequence, Chain: e.chain}, e.commit, nil
}

// whole returns the entry of a message that holds a whole commit.
func (s *Sequencer) whole(m *jetstream.RawStreamMsg) (entry, error) {
	e, err := decode(m.Data)
	if err == nil && (e.log != s.logID || e.parts > 1) {
		err = errEntry
	}
	if err != nil {
		return e, fmt.Errorf("%w: message %d: %w", store.ErrDiverged, m.Sequence, err)
	}
	return e, nil
}

// Find implements store.Sequencer.
func (s *Sequencer) Find(ctx context.Context, number uint64) (after store.Place, commit []byte, err error) {
	extent, err := s.Extent(ctx)
	if err != nil {
		return after, nil, err
	}
	for n := max(number, extent.First); n < extent.Last; {
		e, err := s.entryAt(ctx, n+1)
		if err != nil {
			return after, nil, err
		}
		if e.part == 0 {
			return s.commitAfter(ctx, n, e.parts)
		}
		n += uint64(e.parts - e.part) // the end of its commit
	}
	return after, nil, nil
}

// commitAfter returns the commit of this many messages after message n, and the place it follows.
func (s *Sequencer) commitAfter(ctx context.Context, n uint64, parts uint16) (after store.Place, commit []byte,
	err error) {
	before, err := s.entryAt(ctx, n)
	after = store.Place{Number: n, Chain: before.chain}
	g := &gathering{log: s.logID, at: after, last: n}
	for i := n + 1; err == nil && i <= n+uint64(parts); i++ {
		var m *jetstream.RawStreamMsg
		if m, err = s.mustHave(ctx, i); err == nil {
			_, commit, err = g.add(i, m.Data)
		}
	}
	if err != nil {
		return store.Place{}, nil, err
	}
	return after, commit, nil
}

// entryAt returns the entry of a message that the stream must have.
func (s *Sequencer) entryAt(ctx context.Context, number uint64) (e entry, err error) {
	m, err := s.mustHave(ctx, number)
	if err != nil {
		return e, err
	}
	if e, err = decode(m.Data); err != nil {
		err = fmt.Errorf("%w: message %d: %w", store.ErrDiverged, number, err)
	}
	return e, err
}

// mustHave returns a message that the stream must have.
func (s *Sequencer) mustHave(ctx context.Context, number uint64) (*jetstream.RawStreamMsg, error) {
	m, err := s.message(ctx, number)
	if err == nil && m == nil {
		err = errors.New("it is gone")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: message %d: %w", store.ErrUnavailable, number, err)
	}
	return m, nil
}

// Extent implements store.Sequencer.
func (s *Sequencer) Extent(ctx context.Context) (store.Extent, error) {
	info, err := s.report(ctx)
	if err != nil {
		return store.Extent{}, err
	}
	e := s.extentOf(info)
	s.saw(e.Last)
	return e, nil
}

// extentOf returns the extent that the stream's leader reports, and notes it for Size.
func (s *Sequencer) extentOf(info *jetstream.StreamInfo) store.Extent {
	e := store.Extent{First: max(1, info.State.FirstSeq), Last: info.State.LastSeq, Bytes: info.State.Bytes,
		Max: uint64(max(0, info.Config.MaxBytes))} // -1 means no limit
	s.size.Store(&e)
	return e
}

// Size returns the bytes that the stream has, and its limit (max_bytes), 0 if there is none. It asks nobody: both are
// as the stream's leader last reported them, which it does every ten seconds, with its clock.
func (s *Sequencer) Size() (bytes, limit uint64) {
	e := s.size.Load()
	return e.Bytes, e.Max
}

// Purge implements store.Sequencer.
func (s *Sequencer) Purge(ctx context.Context, through store.Place) error {
	ctx, cancel := context.WithTimeout(ctx, purgeTime)
	defer cancel()
	err := s.stream.Purge(ctx, jetstream.WithPurgeSequence(through.Number+1))
	if err == nil {
		return nil
	}
	if info := s.stream.CachedInfo(); info != nil && info.Config.DenyPurge {
		return fmt.Errorf("stream %s has deny_purge, which cannot be removed: it grows forever; move the log into "+
			"another with backup and restore --store nats: %w", s.o.Stream, err)
	}
	return fmt.Errorf("%w: purge the stream up to place %d: %w", store.ErrUnavailable, through.Number, err)
}
