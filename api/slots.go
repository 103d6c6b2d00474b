package api

import "sync"

// slots are the places of the streams that may be open at a time.
type slots struct {
	max, maxPerOwner int

	mu       sync.Mutex
	taken    int
	perOwner map[ownerHash]int
}

// take takes a place, if there is one; the caller gives it back with free. Without a token only the
// total counts.
func (p *slots) take(owner ownerHash) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken == p.max || owner != 0 && p.perOwner[owner] == p.maxPerOwner {
		return false
	}
	p.taken++
	p.perOwner[owner]++
	return true
}

func (p *slots) free(owner ownerHash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.perOwner[owner]--; p.perOwner[owner] == 0 {
		delete(p.perOwner, owner)
	}
}
