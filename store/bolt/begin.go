package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tidings/store"
	"tidings/store/internal/commit"
)

// loadState fills a new mirror from the newest state in the sequence, if there is one; the mirror is then at
// the floor. It is called before the committer runs and before anything is followed. A crash before its end
// leaves a mirror without a place, which the next open rebuilds.
func (c *committer) loadState(ctx context.Context) error {
	m := c.mirror
	if m.place() != (store.Place{}) {
		return nil
	}
	began := time.Now()
	newest, err := m.newestState(ctx)
	for errors.Is(err, store.ErrUnavailable) && time.Since(began) < joinPatience && m.pause(againAfter) {
		newest, err = m.newestState(ctx)
	}
	if err != nil || newest.Floor == (store.Place{}) {
		return err
	}
	load := loading{c: c, closing: newest, at: newest.From}
	for warned := false; ; warned = true {
		err := m.seq.Follow(ctx, load.at, load.deliver)
		if load.over {
			break
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrPurged) || errors.Is(err, store.ErrDiverged) ||
			load.err != nil {
			return fmt.Errorf("load the state of the sequence: %w", cmp.Or(load.err, err))
		}
		if !warned {
			c.logger.Warn("no state of the sequence yet, will keep asking", "error", err)
		}
		if !m.pause(againAfter) {
			return m.ended()
		}
	}
	c.logger.Info("loaded the state of the sequence", "floor", newest.Floor.Number, "parts", load.parts)
	return nil
}

// loading applies the parts of a state.
type loading struct {
	c       *committer
	closing *commit.Closing
	at      store.Place // how far they have come
	parts   uint32
	over    bool
	err     error // of a part received
}

// errOver ends the Follow of a state.
var errOver = errors.New("that was all")

func (l *loading) deliver(at store.Place, b []byte) error {
	k, err := commit.Decode(b)
	if err == nil && k.State != nil {
		err = l.take(k.State)
	}
	if errors.Is(err, commit.ErrFormat) {
		err = fmt.Errorf("%w; start the release that wrote it, or a newer one", err)
	}
	if err != nil {
		l.err = fmt.Errorf("place %d: %w", at.Number, err)
		return l.err
	}
	if l.at = at; l.over {
		return errOver
	}
	return nil
}

// take applies the next part, or the end. Parts of two states are never interleaved.
func (l *loading) take(s *commit.StatePart) error {
	if s.Index != l.parts {
		return fmt.Errorf("%w: found part %d of a state instead of part %d", store.ErrDiverged, s.Index, l.parts)
	}
	m := l.c.mirror
	if s.Closing != nil {
		head := l.c.horizon.Head()
		if *s.Closing != *l.closing || head != l.closing.Head {
			return fmt.Errorf("%w: the state leads to %s, not %s", store.ErrDiverged, head, l.closing.Head)
		}
		err := l.c.applyPlaced(&commit.Commit{After: head, Last: head}, l.closing.Floor, nil)
		l.over = err == nil
		return err
	}
	l.parts++
	part, err := commit.Decode(s.Part)
	if err == nil {
		err = l.c.applyPlaced(part, m.place(), nil)
	}
	return err
}
