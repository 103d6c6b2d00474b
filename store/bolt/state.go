package bolt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"tidings/store"
	"tidings/store/internal/commit"
)

// A sequence is purged from its front, up to a floor, once the state of what lay below is in it.
// docs/adr/0028 has the reasons.
//
//	a crash after            leaves
//	a part is placed         parts that nobody reads
//	the closing is placed    the state: any node purges the sequence at its next pass
//	the purge is asked for   the same, or the purged sequence

// partBytes is roughly the size of a part.
const partBytes = 384 << 10

// writeState places the state of what the log needs from below a floor, which closing names together with its
// head.
func (l *Log) writeState(ctx context.Context, closing *commit.Closing, begin uint64) error {
	part := commit.StatePart{}
	_, _ = rand.Read(part.Writing[:]) // never fails
	s := &seed{view: l.view, through: closing.Head, bytes: partBytes}
	s.place = func(k *commit.Commit) (err error) {
		part.Part, _ = k.AppendBinary(nil) // never fails
		after, err := l.mirror.offer(ctx, part, begin)
		if part.Index == 0 {
			closing.From = after
		}
		part.Index++
		return err
	}
	if err := s.grow(); err != nil {
		return err
	}
	part.Part, part.Closing = nil, closing
	_, err := l.mirror.offer(ctx, part, begin)
	return err
}

// states is what is known about the states in the sequence.
type states struct {
	mu      sync.Mutex
	newest  commit.StatePart // without its bytes
	highest uint64           // number of the highest floor
	entries uint64           // entries applied
	looked  uint64           // the value of entries at the last look
	quiet   int              // looks since an entry arrived
}

// quietLooks is how many passes of retention without a new part it takes until a state counts as abandoned.
const quietLooks = 3

// note records an applied entry.
func (s *states) note(p *commit.StatePart) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = commit.StatePart{Writing: p.Writing, Index: p.Index, Closing: p.Closing}
	s.entries++
	if p.Closing != nil {
		s.highest = max(s.highest, p.Closing.Floor.Number)
	}
}

// floor returns the highest floor seen. A state with a lower one would be useless.
func (s *states) floor() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest
}

// look reports whether a state may begin, as far as this pass can tell, and after how many entries.
func (s *states) look() (begin uint64, may bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet++; s.entries != s.looked {
		s.looked, s.quiet = s.entries, 0
	}
	return s.entries, s.newest.Closing != nil || s.quiet >= quietLooks
}

// follows reports whether an entry may be placed: directly after the one before it, with no entry of another
// state in between.
func (s *states) follows(p *commit.StatePart, begin uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Index == 0 {
		return s.entries == begin
	}
	return s.newest.Writing == p.Writing && s.newest.Index == p.Index-1 && s.newest.Closing == nil
}

// has reports whether an entry is the newest.
func (s *states) has(p *commit.StatePart) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest.Writing == p.Writing && s.newest.Index == p.Index && (s.newest.Closing == nil) == (p.Closing == nil)
}

// offering is an entry of a state on its way to the committer.
type offering struct {
	part  commit.StatePart
	begin uint64      // see states
	after store.Place // it was placed right after this one
	done  chan error  // has room
}

// errSuperseded ends a state when another node has begun one.
var errSuperseded = errors.New("another node writes the state of the sequence")

// offer has the committer place an entry of a state, and returns the place before it.
func (m *mirror) offer(ctx context.Context, part commit.StatePart, begin uint64) (after store.Place, err error) {
	o := &offering{part: part, begin: begin, done: make(chan error, 1)}
	m.offered.Store(o)
	m.queue.ring()
	select {
	case err := <-o.done:
		return o.after, err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-m.ctx.Done():
		return after, store.ErrClosed
	case <-m.file.failed:
		return after, m.file.failure()
	}
	if m.offered.CompareAndSwap(o, nil) {
		return after, err
	}
	select { // the committer has it
	case err := <-o.done:
		return o.after, err
	case <-m.ctx.Done():
		return after, store.ErrClosed
	}
}

// placeOffered places the waiting entry, if there is one.
func (c *committer) placeOffered() {
	if o := c.mirror.offered.Swap(nil); o != nil {
		o.done <- c.placeState(o)
	}
}

func (c *committer) placeState(o *offering) error {
	m := c.mirror
	for m.begin(); ; {
		switch err := m.ended(); {
		case err != nil:
			return err
		case !m.states.follows(&o.part, o.begin):
			return errSuperseded
		}
		o.after = m.place()
		head := c.horizon.Head()
		again, err := c.sequence(nil, &commit.Commit{After: head, Last: head, State: &o.part})
		switch {
		case m.states.has(&o.part): // only this call can have placed it
			return nil
		case !again && errors.Is(err, errAnswered):
			return fmt.Errorf("%w: a part of a state has no place", store.ErrUnavailable)
		case !again:
			return err
		}
	}
}
