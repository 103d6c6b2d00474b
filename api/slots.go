package api

import "sync"

// places are those of the streams that may be open at a time.
type slots struct {
	max, maxPerToken int

	mu       sync.Mutex
	taken    int
	perToken map[tokenHash]int
}

// take takes a place, if there is one; the caller gives it back with free. Without a token only the
// total counts.
func (p *slots) take(token tokenHash) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken == p.max || token != 0 && p.perToken[token] == p.maxPerToken {
		return false
	}
	p.taken++
	p.perToken[token]++
	return true
}

func (p *slots) free(token tokenHash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.perToken[token]--; p.perToken[token] == 0 {
		delete(p.perToken, token)
	}
}
