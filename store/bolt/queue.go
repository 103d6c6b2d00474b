package bolt

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"tidings/store"
	"tidings/store/internal/commit"
)

// request is a commit.Request on its way through the queue.
type request struct {
	commit.Request
	events int
	weight int64

	done    chan struct{} // closed when outcome holds what became of it
	outcome commit.Outcome
}

// kind orders requests by what they need of a full disk: trims make room, marks take little.
func (r *request) kind() int {
	switch {
	case r.Trims() > 0:
		return ofTrim
	case r.events == 0:
		return ofMark
	default:
		return ofAppend
	}
}

const (
	ofTrim = iota
	ofMark
	ofAppend
)

const (
	// queueBytes bounds the memory of all requests that wait or are being committed. An event
	// counts its data, its attributes and draftBytes.
	queueBytes = 64 << 20
	draftBytes = 512

	// A commit takes what has gathered, up to these bounds, so that no answer waits for ever longer
	// transactions.
	commitEvents = 4096
	commitBytes  = 16 << 20
)

// queue is where requests gather while the committer is busy: there is no timer, one batch gathers
// while the other is being fsynced.
type queue struct {
	memory *semaphore.Weighted
	bytes  atomic.Int64 // taken of memory
	mu     sync.Mutex
	bell   *sync.Cond
	waits  []*request
	closed bool
}

func newQueue() *queue {
	q := &queue{memory: semaphore.NewWeighted(queueBytes)}
	q.bell = sync.NewCond(&q.mu)
	return q
}

// do queues a request and waits for its outcome.
func (q *queue) do(ctx context.Context, wanted commit.Request) (commit.Outcome, error) {
	r := &request{Request: wanted}
	for d := range r.Drafts {
		r.events++
		r.weight += draftBytes + int64(d.Size())
	}
	r.weight = max(r.weight, draftBytes)
	taken := min(r.weight, queueBytes)
	if err := q.memory.Acquire(ctx, taken); err != nil {
		return commit.Outcome{}, fmt.Errorf("%w: %w", store.ErrQueueFull, context.Cause(ctx))
	}
	q.bytes.Add(taken)
	defer func() {
		q.bytes.Add(-taken)
		q.memory.Release(taken)
	}()
	r.done = make(chan struct{})
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return commit.Outcome{}, store.ErrClosed
	}
	q.waits = append(q.waits, r)
	if len(q.waits) == 1 {
		q.bell.Signal()
	}
	q.mu.Unlock()
	<-r.done
	if err := r.outcome.Err; err != nil {
		return commit.Outcome{}, err
	}
	return r.outcome, nil
}

// take appends to batch what the next transaction commits, up to the bounds. It waits while there is
// nothing, and returns nothing once the queue is closed and empty.
func (q *queue) take(batch []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waits) == 0 && !q.closed {
		q.bell.Wait()
	}
	n, events, bytes, trimmed := 0, 0, int64(0), 0
	for _, r := range q.waits {
		events, bytes, trimmed = events+max(1, r.events), bytes+r.weight, trimmed+r.Trims()
		if n > 0 && (events > commitEvents || bytes > commitBytes || trimmed > trimStep) {
			break
		}
		n++
	}
	batch = append(batch, q.waits[:n]...)
	rest := copy(q.waits, q.waits[n:])
	clear(q.waits[rest:])
	q.waits = q.waits[:rest]
	return batch
}

// load returns how many requests wait, and the memory of all that are not answered.
func (q *queue) load() (requests int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waits), q.bytes.Load()
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.bell.Signal()
}
