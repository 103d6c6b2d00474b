package api

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// smallShare is the size up to which a share may use all of a budget. Larger shares leave a quarter of it free,
	// so that a few of them never keep out the many small ones.
	smallShare = 128 << 10

	// pieceBytes is what a response holds besides its events while it is written in pieces.
	pieceBytes = 64 << 10
)

// budget bounds the memory of requests in flight: of the bodies being read, or of the responses being written. One
// owner of tokens may have half of it. A request that is alone may exceed it, so that none is refused forever. All
// methods may be called concurrently.
type budget struct {
	max int64

	mu       sync.Mutex
	used     int64
	perOwner map[ownerHash]int64
	refused  uint64
	freed    chan struct{} // closed when something is given back; nil while nobody waits
}

// share is what one request holds of a budget. It belongs to the goroutine of the request's handler.
type share struct {
	budget *budget
	owner  ownerHash
	spare  bool // never exceeds the budget: its request can do without
	held   int64
}

// set resizes the share to n bytes. It reports false when there is no room, and then leaves the share as it was;
// there is always room to shrink.
func (s *share) set(n int64) bool {
	if n == s.held {
		return true
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(s, n) {
		b.refused++
		return false
	}
	b.move(s, n)
	return true
}

// wait is set, but waits for room: as long as patience allows, and until ctx ends.
func (s *share) wait(ctx context.Context, patience time.Duration, n int64) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fits(s, n) {
		b.move(s, n)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !b.fits(s, n) {
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
			b.mu.Lock()
		case <-ctx.Done():
			b.mu.Lock()
			b.refused++
			return false
		}
	}
	b.move(s, n)
	return true
}

// fits reports whether the share may become n bytes large. The caller holds mu.
func (b *budget) fits(s *share, n int64) bool {
	grows, room := n-s.held, b.max
	if n > smallShare {
		room -= b.max / 4
	}
	return grows <= 0 || b.used == s.held && !s.spare || b.used+grows <= room &&
		(s.owner == 0 || b.perOwner[s.owner]+grows <= b.max/2)
}

func (b *budget) move(s *share, n int64) {
	b.used += n - s.held
	if s.owner != 0 {
		if b.perOwner[s.owner] += n - s.held; b.perOwner[s.owner] == 0 {
			delete(b.perOwner, s.owner)
		}
	}
	if n < s.held && b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
	s.held = n
}

// load returns the bytes in use, and how often there was no room.
func (b *budget) load() (used int64, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.refused
}

func newBudget(max int64) *budget {
	return &budget{max: max, perOwner: make(map[ownerHash]int64)}
}

// errNoRoom refuses a request that a budget has no room for.
var errNoRoom = errors.New("no room in the budget")

func memoryFull() *problem {
	return &problem{code: "memory-full",
		detail: "other requests are using all the memory for bodies and responses " +
			"(--buffer-bytes); retry after the pause"}
}
