package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidings/store"
)

// Sequence is a sequence of commits in memory, for any number of logs, each with its own Seat. It can lose
// what it has acknowledged.
type Sequence struct {
	id store.ID

	mu      sync.Mutex
	gone    uint64        // number of purged commits
	entries []entry       // the commit at place n is entries[n-1-gone]
	changed chan struct{} // closed and replaced when anything changes
}

type entry struct {
	place  store.Place
	commit []byte
	by     *Seat
	state  bool
}

// NewSequence returns an empty sequence.
func NewSequence() *Sequence {
	id, err := store.NewID(time.Now())
	if err != nil {
		panic(err) // the clock is after 6429
	}
	return &Sequence{id: id, changed: make(chan struct{})}
}

// Seat returns a sequencer for one log, which works without faults until one of its methods sets some.
func (s *Sequence) Seat() *Seat {
	seat := new(Seat)
	seat.at.Store(s)
	return seat
}

// Copy returns a sequence that has the first n commits, as after an older copy was put back.
func (s *Sequence) Copy(n int) *Sequence {
	s.mu.Lock()
	defer s.mu.Unlock()
	n -= int(s.gone)
	return &Sequence{id: s.id, gone: s.gone, entries: s.entries[:n:n], changed: make(chan struct{})}
}

// Len returns how many commits have, or had, a place.
func (s *Sequence) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.last())
}

// last returns the number of the newest place. The caller holds mu.
func (s *Sequence) last() uint64 { return s.gone + uint64(len(s.entries)) }

// at returns the commit at a place that was not purged. The caller holds mu.
func (s *Sequence) at(number uint64) *entry { return &s.entries[number-1-s.gone] }

// change makes a change, also of a seat, and wakes those who wait.
func (s *Sequence) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// end returns the newest place. The caller holds mu.
func (s *Sequence) end() store.Place {
	if len(s.entries) == 0 {
		return store.Place{}
	}
	return s.entries[len(s.entries)-1].place
}

// has returns ErrDiverged unless the place is one of this sequence, and ErrPurged if what follows it is gone.
// The place before the first commit is not checked. The caller holds mu.
func (s *Sequence) has(at store.Place) error {
	switch n := at.Number; {
	case n > s.last():
		return fmt.Errorf("%w: it ends at %d, before %d", store.ErrDiverged, s.last(), n)
	case n < s.gone:
		return fmt.Errorf("%w: it begins after %d, and not after %d", store.ErrPurged, s.gone, n)
	case n > s.gone && s.at(n).place != at:
		return fmt.Errorf("%w: another commit has place %d", store.ErrDiverged, n)
	}
	return nil
}

// Seat is the store.Sequencer of one log.
type Seat struct {
	at atomic.Pointer[Sequence] // its mu guards the fields below

	paused, cut bool
	onAppend    func(commit []byte) Fate
	onEnd       func()
	onPurge     func() Fate

	ends atomic.Int64
}

var _ store.Sequencer = (*Seat)(nil)

// Fate is what happens to an Append.
type Fate int

const (
	Placed   Fate = iota // as requested
	Unheard              // it is placed, but the answer is lost
	Lost                 // it is not placed, and the answer is lost
	NoSpace              // it finds no room
	NoAnswer             // it is not even sent
)

// set changes the seat.
func (s *Seat) set(f func()) { s.at.Load().change(f) }

// OnAppend sets f to be called with each commit before it is placed. f may use other seats.
func (s *Seat) OnAppend(f func(commit []byte) Fate) { s.set(func() { s.onAppend = f }) }

// OnEnd sets f to be called before each End.
func (s *Seat) OnEnd(f func()) { s.set(func() { s.onEnd = f }) }

// OnPurge sets f to be called before each Purge.
func (s *Seat) OnPurge(f func() Fate) { s.set(func() { s.onPurge = f }) }

// Pause holds back what Follow would deliver, until Resume.
func (s *Seat) Pause() { s.set(func() { s.paused = true }) }

// Resume ends Pause.
func (s *Seat) Resume() { s.set(func() { s.paused = false }) }

// Cut makes all calls fail with ErrUnavailable, until Mend.
func (s *Seat) Cut() { s.set(func() { s.cut = true }) }

// Mend ends Cut.
func (s *Seat) Mend() { s.set(func() { s.cut = false }) }

// Move gives the seat another sequence, as after its store was put back.
func (s *Seat) Move(to *Sequence) { s.set(func() { s.at.Store(to) }) }

// Ends returns how often End was called.
func (s *Seat) Ends() int64 { return s.ends.Load() }

// Turn implements store.Sequencer.
func (s *Seat) Turn() time.Duration { return 0 }

// Seen implements store.Sequencer.
func (s *Seat) Seen() uint64 { return uint64(s.at.Load().Len()) }

// LogID implements store.Sequencer.
func (s *Seat) LogID(context.Context) (store.ID, error) {
	q := s.at.Load()
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.cut {
		return store.ID{}, store.ErrUnavailable
	}
	return q.id, nil
}

// Append implements store.Sequencer.
func (s *Seat) Append(ctx context.Context, after store.Place, commit []byte) (store.Place, error) {
	return s.append(ctx, after, commit, false)
}

// AppendState implements store.Sequencer.
func (s *Seat) AppendState(ctx context.Context, after store.Place, commit []byte) (store.Place, error) {
	return s.append(ctx, after, commit, true)
}

func (s *Seat) append(ctx context.Context, after store.Place, commit []byte, state bool) (store.Place, error) {
	if err := context.Cause(ctx); err != nil { // then nothing is sent
		return store.Place{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	q, fate := s.at.Load(), Placed
	q.mu.Lock()
	f, cut := s.onAppend, s.cut
	q.mu.Unlock()
	if f != nil {
		fate = f(commit)
	}
	switch {
	case cut || fate == NoAnswer:
		return store.Place{}, store.ErrUnavailable
	case fate == NoSpace:
		return store.Place{}, fmt.Errorf("%w: the sequence is full", store.ErrNoSpace)
	case fate == Lost:
		return store.Place{}, store.ErrOutcomeUnknown
	}
	place, err := q.place(after, entry{commit: commit, by: s, state: state})
	if fate == Unheard {
		return store.Place{}, store.ErrOutcomeUnknown
	}
	return place, err
}

// place appends a seat's commit. One that the seat has placed before keeps its place.
func (s *Sequence) place(after store.Place, e entry) (place store.Place, err error) {
	s.change(func() {
		if err = s.has(after); err != nil {
			return
		}
		if n := after.Number; n < s.last() {
			there := s.at(n + 1)
			place = there.place
			if there.by != e.by || !bytes.Equal(there.commit, e.commit) {
				err = store.ErrPlaceTaken
			}
			return
		}
		sum := sha256.New()
		sum.Write(after.Chain[:])
		sum.Write(binary.BigEndian.AppendUint64(nil, after.Number))
		sum.Write(e.commit)
		place = store.Place{Number: after.Number + 1, Chain: [16]byte(sum.Sum(nil))}
		e.place, e.commit = place, bytes.Clone(e.commit)
		s.entries = append(s.entries, e)
	})
	return place, err
}

// Follow implements store.Sequencer.
func (s *Seat) Follow(ctx context.Context, after store.Place,
	deliver func(store.Place, []byte) error) error {
	for {
		next, changed, err := s.next(after)
		switch {
		case err != nil:
			return err
		case next != nil:
			if err := deliver(next.place, bytes.Clone(next.commit)); err != nil {
				return err
			}
			after = next.place
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// next returns the commit after a place, nil if there is none yet, and a channel that is closed when that
// changes.
func (s *Seat) next(after store.Place) (next *entry, changed chan struct{}, err error) {
	q := s.at.Load()
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.cut {
		return nil, nil, store.ErrUnavailable
	}
	if err := q.has(after); err != nil {
		return nil, nil, err
	}
	if n := after.Number; !s.paused && n < q.last() {
		next = new(*q.at(n + 1))
	}
	return next, q.changed, nil
}

// End implements store.Sequencer.
func (s *Seat) End(context.Context, uint64) (store.Place, error) {
	s.ends.Add(1)
	q := s.at.Load()
	q.mu.Lock()
	f := s.onEnd
	q.mu.Unlock()
	if f != nil {
		f()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.cut {
		return store.Place{}, store.ErrUnavailable
	}
	return q.end(), nil
}

// State implements store.Sequencer.
func (s *Seat) State(context.Context) (at store.Place, commit []byte, err error) {
	err = s.read(func(q *Sequence) {
		for _, e := range slices.Backward(q.entries) {
			if e.state {
				at, commit = e.place, bytes.Clone(e.commit)
				return
			}
		}
	})
	return at, commit, err
}

// Find implements store.Sequencer.
func (s *Seat) Find(_ context.Context, number uint64) (after store.Place, commit []byte, err error) {
	err = s.read(func(q *Sequence) {
		if number = max(number, q.gone+1); number < q.last() {
			after, commit = q.at(number).place, bytes.Clone(q.at(number+1).commit)
		}
	})
	return after, commit, err
}

// Extent implements store.Sequencer.
func (s *Seat) Extent(context.Context) (e store.Extent, err error) {
	err = s.read(func(q *Sequence) {
		e = store.Extent{First: q.gone + 1, Last: q.last()}
		for i := range q.entries {
			e.Bytes += uint64(len(q.entries[i].commit))
		}
	})
	return e, err
}

// Purge implements store.Sequencer.
func (s *Seat) Purge(_ context.Context, through store.Place) error {
	q := s.at.Load()
	q.mu.Lock()
	f, fate := s.onPurge, Placed
	q.mu.Unlock()
	if f != nil {
		fate = f()
	}
	if fate == NoAnswer || fate == Lost {
		return store.ErrUnavailable
	}
	var err error
	q.change(func() {
		switch err = q.has(through); {
		case s.cut:
			err = store.ErrUnavailable
		case errors.Is(err, store.ErrPurged):
			err = nil
		case err == nil && through.Number < q.last():
			q.entries = slices.Clone(q.entries[through.Number-q.gone:])
			q.gone = through.Number
		}
	})
	if fate == Unheard {
		return store.ErrUnavailable
	}
	return err
}

// read reads the sequence, unless the seat is cut off.
func (s *Seat) read(f func(*Sequence)) error {
	q := s.at.Load()
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.cut {
		return store.ErrUnavailable
	}
	f(q)
	return nil
}
