package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tidings/store"
)

// Sequence is what sequencers give out places of, in memory: for any number of logs, each with a Seat of
// its own. It can lose what it has said it keeps.
type Sequence struct {
	id store.ID

	mu      sync.Mutex
	entries []entry       // the commit at place n is entries[n-1]
	changed chan struct{} // closed and replaced when anything changes
}

type entry struct {
	place  store.Place
	commit []byte
	by     *Seat
}

// NewSequence returns an empty sequence.
func NewSequence() *Sequence {
	id, err := store.NewID(time.Now())
	if err != nil {
		panic(err) // the clock is after 10889
	}
	return &Sequence{id: id, changed: make(chan struct{})}
}

// Seat returns a sequencer for one log, which works until it is told otherwise.
func (s *Sequence) Seat() *Seat {
	seat := new(Seat)
	seat.at.Store(s)
	return seat
}

// Copy returns a sequence that has the first n commits: what is there when an older copy is put back.
func (s *Sequence) Copy(n int) *Sequence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Sequence{id: s.id, entries: s.entries[:n:n], changed: make(chan struct{})}
}

// Len is how many commits have a place.
func (s *Sequence) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// change makes a change, of its seats too, that those who wait must see.
func (s *Sequence) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// end is the newest place. The caller holds mu.
func (s *Sequence) end() store.Place {
	if len(s.entries) == 0 {
		return store.Place{}
	}
	return s.entries[len(s.entries)-1].place
}

// has is ErrDiverged unless the place is one of this sequence. The caller holds mu.
func (s *Sequence) has(at store.Place) error {
	switch n := at.Number; {
	case n > uint64(len(s.entries)):
		return fmt.Errorf("%w: it ends at %d, before %d", store.ErrDiverged, len(s.entries), n)
	case n > 0 && s.entries[n-1].place != at:
		return fmt.Errorf("%w: another commit has place %d", store.ErrDiverged, n)
	}
	return nil
}

// Seat is the store.Sequencer of one log.
type Seat struct {
	at atomic.Pointer[Sequence] // its lock holds the next

	paused, cut bool
	onAppend    func(commit []byte) Fate
	onEnd       func()

	ends atomic.Int64
}

var _ store.Sequencer = (*Seat)(nil)

// Fate is what becomes of an Append.
type Fate int

const (
	Placed   Fate = iota // as asked for
	Unheard              // it is placed, and the answer is lost
	Lost                 // it is not placed, and nobody says so
	NoSpace              // it finds no room
	NoAnswer             // it is not even sent
)

// set changes the seat.
func (s *Seat) set(f func()) { s.at.Load().change(f) }

// OnAppend has f called with each commit that is to be placed, before it is. f may use other seats.
func (s *Seat) OnAppend(f func(commit []byte) Fate) { s.set(func() { s.onAppend = f }) }

// OnEnd has f called before each End.
func (s *Seat) OnEnd(f func()) { s.set(func() { s.onEnd = f }) }

// Pause holds what Follow would deliver, until Resume.
func (s *Seat) Pause() { s.set(func() { s.paused = true }) }

// Resume follows Pause.
func (s *Seat) Resume() { s.set(func() { s.paused = false }) }

// Cut has all calls end with ErrUnavailable, until Mend.
func (s *Seat) Cut() { s.set(func() { s.cut = true }) }

// Mend follows Cut.
func (s *Seat) Mend() { s.set(func() { s.cut = false }) }

// Move gives the seat another sequence, as when what keeps it was put back.
func (s *Seat) Move(to *Sequence) { s.set(func() { s.at.Store(to) }) }

// Ends is how often End was called.
func (s *Seat) Ends() int64 { return s.ends.Load() }

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
	place, err := q.place(s, after, commit)
	if fate == Unheard {
		return store.Place{}, store.ErrOutcomeUnknown
	}
	return place, err
}

// place appends what the seat offers. What it has offered before has its place.
func (s *Sequence) place(by *Seat, after store.Place, commit []byte) (place store.Place, err error) {
	s.change(func() {
		if err = s.has(after); err != nil {
			return
		}
		if n := after.Number; n < uint64(len(s.entries)) {
			place = s.entries[n].place
			if e := s.entries[n]; e.by != by || !bytes.Equal(e.commit, commit) {
				err = store.ErrPlaceTaken
			}
			return
		}
		sum := sha256.New()
		sum.Write(after.Chain[:])
		sum.Write(binary.BigEndian.AppendUint64(nil, after.Number))
		sum.Write(commit)
		place = store.Place{Number: after.Number + 1, Chain: [16]byte(sum.Sum(nil))}
		s.entries = append(s.entries, entry{place, bytes.Clone(commit), by})
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

// next returns the commit after a place, nil if there is none yet, and what is closed when that changes.
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
	if n := after.Number; !s.paused && n < uint64(len(q.entries)) {
		next = &q.entries[n]
	}
	return next, q.changed, nil
}

// End implements store.Sequencer.
func (s *Seat) End(context.Context) (store.Place, error) {
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
