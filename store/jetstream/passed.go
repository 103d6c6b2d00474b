package jetstream

import (
	"context"
	"sync"
	"time"
)

// passed is the messages that Follow has received, for an attempt that was refused because of one of them.
type passed struct {
	mu       sync.Mutex
	last     uint64
	attempts [256][8]byte  // of the newest messages, by their sequence
	came     chan struct{} // closed and replaced at each message
}

// passedWait is how long an attempt that was refused for another message waits for it before it asks the servers.
const passedWait = time.Second

// note notes a message and the attempt that it is of.
func (p *passed) note(sequence uint64, attempt [8]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.attempts[sequence%uint64(len(p.attempts))] = sequence, attempt
	close(p.came)
	p.came = make(chan struct{})
}

// await waits for a message; own: it is of this attempt. came is false if it did not come in time, or long ago.
func (p *passed) await(ctx context.Context, sequence uint64, attempt [8]byte, wait time.Duration) (own, came bool) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		p.mu.Lock()
		last, of, more := p.last, p.attempts[sequence%uint64(len(p.attempts))], p.came
		p.mu.Unlock()
		if last >= sequence {
			return of == attempt, last < sequence+uint64(len(p.attempts))
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false, false
		}
	}
}
