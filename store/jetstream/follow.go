package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tidings/store"
)

const (
	// silence is how long a consumer may deliver nothing before the stream is asked whether there is more.
	silence = time.Second

	// behindFor is how many times in a row there must be more before the consumer is given up.
	behindFor = 2

	consumerIdle = 30 * time.Second // after which the servers forget an unused consumer
	pullBytes    = 8 << 20          // requested ahead
)

// Follow implements store.Sequencer. It has one consumer at a time, watches it, and checks that nothing is
// left out and that each commit follows the one before it: a consumer does not report that its stream was
// purged, or is another one of the same name.
func (s *Sequencer) Follow(ctx context.Context, after store.Place,
	deliver func(store.Place, []byte) error) error {
	if err := s.goesOnFrom(ctx, after); err != nil {
		return err
	}
	g := &gathering{log: s.logID, at: after, last: after.Number}
	for {
		err := s.consume(ctx, g, deliver)
		if err != nil {
			return err
		}
		if fault := s.fault.Load(); fault != nil && errors.Is(*fault, errReplaced) {
			return *fault
		}
		g.last, g.parts, g.commit = g.at.Number, 0, nil // the parts are delivered again
		if !s.pause(ctx, againAfter) {
			return context.Cause(ctx)
		}
		if err := s.purgedAfter(ctx, g.at); errors.Is(err, store.ErrPurged) || errors.Is(err, store.ErrDiverged) {
			return err
		}
	}
}

// goesOnFrom returns an error unless the stream has this place or begins with the commit after it.
func (s *Sequencer) goesOnFrom(ctx context.Context, after store.Place) error {
	if after.Number == 0 {
		return s.purgedAfter(ctx, after)
	}
	m, err := s.message(ctx, after.Number)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if m == nil {
		return s.hasNot(ctx, after)
	}
	s.saw(m.Sequence)
	at, err := s.placeOf(m)
	if err == nil && at != after {
		err = fmt.Errorf("%w: another commit has place %d", store.ErrDiverged, after.Number)
	}
	return err
}

// hasNot returns the error for a place that the stream does not have. A leader that was just elected may
// not have it yet.
func (s *Sequencer) hasNot(ctx context.Context, after store.Place) error {
	ctx, cancel := context.WithTimeout(ctx, 10*answerTime)
	defer cancel()
	end, err := s.End(ctx, after.Number)
	switch {
	case err != nil:
		return err
	case end.Number < after.Number:
		return fmt.Errorf("%w: the stream ends at place %d, before %d", store.ErrDiverged, end.Number, after.Number)
	}
	return s.purgedAfter(ctx, after)
}

// purgedAfter returns ErrPurged if the stream no longer has what follows the place. If the stream begins with that,
// the chain shows whether it fits.
func (s *Sequencer) purgedAfter(ctx context.Context, after store.Place) error {
	e, err := s.Extent(ctx)
	if err == nil && e.First > after.Number+1 {
		err = fmt.Errorf("%w: the stream begins with message %d, this log is at place %d", store.ErrPurged, e.First,
			after.Number)
	}
	return err
}

// consume hands over what one consumer delivers. It returns nil once the consumer falls silent while there
// is more, or leaves something out. Errors: those of the receiver, and ErrDiverged.
func (s *Sequencer) consume(ctx context.Context, g *gathering, deliver func(store.Place, []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, err := s.consumer(ctx, g.last+1)
	if err != nil {
		s.o.Logger.Debug("cannot create a consumer of the stream", "error", err)
		return nil
	}
	stop := context.AfterFunc(ctx, messages.Stop) // which ends Next
	defer stop()
	defer messages.Stop()
	for behind := 0; ; {
		m, err := messages.Next(jetstream.NextMaxWait(silence))
		switch {
		case ctx.Err() != nil || s.ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
			if behind, err = s.stillBehind(ctx, g.last, behind); err != nil || behind >= behindFor {
				return err
			}
			continue
		case err != nil:
			s.o.Logger.Debug("the consumer of the stream has ended", "error", err)
			return nil
		}
		behind = 0
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream != g.last+1 {
			return nil // resume where it should have continued
		}
		s.came(meta.Sequence.Stream)
		raise(&s.ahead, meta.Sequence.Stream+meta.NumPending)
		at, commit, err := g.add(meta.Sequence.Stream, m.Data())
		if err == nil {
			s.passed.note(g.last, g.first.attempt) // before deliver, which may wait for the one who awaits this
		}
		if err == nil && commit != nil {
			s.turns.saw(at.Number, g.first.node)
			err = deliver(at, commit)
		}
		if err != nil {
			return err
		}
	}
}

// stillBehind counts how many times in a row the stream had more than was delivered. ErrDiverged: it has less.
func (s *Sequencer) stillBehind(ctx context.Context, last uint64, behind int) (int, error) {
	began := time.Now()
	info, err := s.report(ctx)
	if err != nil {
		if errors.Is(err, store.ErrDiverged) {
			return 0, err
		}
		s.leave(began)
		return behind, nil
	}
	s.saw(0)
	end := info.State.LastSeq
	if s.putBack(end) { // not only to before last: what this node placed may not have been delivered
		return 0, fmt.Errorf("%w: the stream ends at place %d, and had %d", store.ErrDiverged, end, s.seen.Load())
	}
	if end <= last {
		return 0, nil
	}
	raise(&s.ahead, end)
	return behind + 1, nil
}

// consumer returns the messages from a sequence on. It does not use the client's ordered consumer, which
// recreates a lost one under the same name forever, even if that name is assigned to a server that is down.
func (s *Sequencer) consumer(ctx context.Context, from uint64) (jetstream.MessagesContext, error) {
	began := time.Now()
	ask, cancel := context.WithTimeout(ctx, 4*answerTime)
	defer cancel()
	c, err := s.stream.CreateConsumer(ask, jetstream.ConsumerConfig{
		FilterSubject: s.subject(ofAny), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, Replicas: 1, MemoryStorage: true, InactiveThreshold: consumerIdle,
	})
	if err != nil {
		s.leave(began)
		return nil, err
	}
	return c.Messages(jetstream.PullMaxBytes(pullBytes))
}
