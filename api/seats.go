package api

import "sync"

// seats are the places for streams that may be open at a time.
type seats struct {
	max, maxPerOwner int

	mu       sync.Mutex
	taken    int
	perOwner map[ownerHash]int
}

// take takes a seat, if one is free; the caller gives it back with free. Without a token only the total counts.
func (s *seats) take(owner ownerHash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == s.max || owner != 0 && s.perOwner[owner] == s.maxPerOwner {
		return false
	}
	s.taken++
	s.perOwner[owner]++
	return true
}

func (s *seats) free(owner ownerHash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.perOwner[owner]--; s.perOwner[owner] == 0 {
		delete(s.perOwner, owner)
	}
}
