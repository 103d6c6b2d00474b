package e2e_test

import (
	"maps"
	"sync"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// tally counts what happens to many parties, and lets a test wait for it. The zero tally is ready.
type tally struct {
	mu     sync.Mutex
	counts map[happening]int
	more   chan struct{} // closed at the next one; nil while nobody waits
}

// happening is an event and the party it happened to.
type happening struct {
	what string
	who  int
}

func (c *tally) add(what string, who int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[happening]int)
	}
	c.counts[happening{what, who}]++
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
}

// soFar returns the counts until now, for since.
func (c *tally) soFar() map[happening]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// since waits until what has happened to each of the parties, numbered from 0, more often than in before.
func (c *tally) since(t *testing.T, before map[happening]int, what string, parties int) {
	t.Helper()
	timeout := time.After(e2e.Patience)
	for who := range parties {
		h := happening{what, who}
		for n, more := c.look(h); n <= before[h]; n, more = c.look(h) {
			select {
			case <-more:
			case <-timeout:
				t.Fatalf("no %s %d", what, who)
			}
		}
	}
}

// again is since, from now on.
func (c *tally) again(t *testing.T, what string, parties int) {
	t.Helper()
	c.since(t, c.soFar(), what, parties)
}

// look returns the count, and a channel that is closed at the next happening.
func (c *tally) look(h happening) (int, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.more == nil {
		c.more = make(chan struct{})
	}
	return c.counts[h], c.more
}
