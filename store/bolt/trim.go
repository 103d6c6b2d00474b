package bolt

import (
	"context"
	"errors"
	"fmt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// trimStep is the maximum number of events that one transaction deletes: few, because appends wait for it
// too. On a full disk it is halved until it fits, because deleting needs free pages itself.
const trimStep = 128

// Trim implements store.Log. A record that fails its checksum stays: its topic is not certain, and it keeps
// telling readers that something is missing.
func (l *Log) Trim(ctx context.Context, f store.Filter, before store.ID) (int, error) {
	if head := l.Head(); head.Before(before) {
		before, _ = head.Next()
	}
	l.checking.hurry()
	deleted, steps := 0, l.newSteps()
	defer steps.end()
	r := l.NewReader(f, store.ID{}).(*reader)
	r.idsOnly = true
	for {
		page, err := r.Next(steps.size)
		if err != nil {
			return deleted, fmt.Errorf("trim: %w", err)
		}
		var trims []commit.Trim
		for i := range page.Events {
			if id := page.Events[i].ID; id.Before(before) {
				trims = append(trims, commit.Trim{Topic: r.rows[i].topic.id, ID: id})
			}
		}
		n, err := steps.delete(ctx, trims)
		deleted += n
		if err != nil {
			return deleted, err
		}
		if next, ok := page.Through.Next(); !ok || !next.Before(before) ||
			!page.Through.Before(l.Head()) {
			return deleted, nil
		}
	}
}

// steps deletes in transactions of a size that fits.
type steps struct {
	l    *Log
	size int         // events
	void func() bool // called before each step: true if nothing more may be deleted; nil: never

	alone bool // there was no room at some step: nothing is appended until end
}

// newSteps returns steps; the caller must call end.
func (l *Log) newSteps() *steps { return &steps{l: l, size: trimStep} }

func (s *steps) end() {
	if s.alone {
		s.l.space.madeRoom()
	}
}

// delete deletes the events, which are the oldest of their topics and in order, and returns how many still
// existed. Errors: errGivesWay, and those of Trim.
func (s *steps) delete(ctx context.Context, trims []commit.Trim) (deleted int, err error) {
	for len(trims) > 0 {
		if s.void != nil && s.void() {
			return deleted, errGivesWay
		}
		n, done, err := s.fit(ctx, trims)
		if errors.Is(err, store.ErrNoSpace) {
			return deleted, fmt.Errorf("trim: %w; where free pages are in pieces too small for one topic, "+
				"retention of the whole log (--retain-bytes) makes room", err)
		}
		if err != nil {
			return deleted, fmt.Errorf("trim: %w", err)
		}
		deleted, trims = deleted+done, trims[n:]
	}
	return deleted, nil
}

// fit deletes the first n, as many as there is room to delete. If there is no room to delete one, because its
// neighbours are rewritten, there may be room to delete its whole leaf, which is not rewritten.
func (s *steps) fit(ctx context.Context, trims []commit.Trim) (n, deleted int, err error) {
	for n = min(s.size, len(trims)); ; n /= 2 {
		deleted, err = s.step(ctx, trims[:n])
		if !errors.Is(err, store.ErrNoSpace) || n == 1 {
			break
		}
		s.size = n / 2
	}
	for errors.Is(err, store.ErrNoSpace) && n < min(leafKeys, len(trims)) {
		n++
		deleted, err = s.step(ctx, trims[:n])
	}
	return n, deleted, err
}

func (s *steps) step(ctx context.Context, trims []commit.Trim) (deleted int, err error) {
	if err := s.l.checked(ctx); err != nil {
		return 0, err
	}
	if !s.alone && s.l.mirror == nil {
		s.alone = s.l.space.makesRoom()
	}
	s.l.trims.RLock()
	defer s.l.trims.RUnlock()
	outcome, err := s.l.queue.do(ctx, commit.Delete(trims))
	return outcome.Trimmed, err
}
