package bolt

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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

// taken is what the request takes of the queue's memory.
func (r *request) taken() int64 { return min(r.weight, queueBytes) }

// result is the outcome of a request that is done.
func (r *request) result() (commit.Outcome, error) {
	if err := r.outcome.Err; err != nil {
		return commit.Outcome{}, err
	}
	return r.outcome, nil
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

// patience is how long a commit that has taken a request may go on before who asked is told that the
// outcome is not known, and how long a request without a deadline waits to be taken. Longer means
// that the disk hangs.
const patience = 25 * time.Second

// do queues a request and waits for its outcome. When ctx ends before a commit takes the request, it is
// withdrawn: ErrQueueFull.
func (q *queue) do(ctx context.Context, wanted commit.Request) (commit.Outcome, error) {
	if _, ok := ctx.Deadline(); !ok && !wanted.Imports() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	r := &request{Request: wanted}
	for d := range r.Drafts {
		r.events++
		r.weight += draftBytes + int64(d.Size())
	}
	r.weight = max(r.weight, draftBytes)
	if err := q.enter(ctx, r); err != nil {
		return commit.Outcome{}, err
	}
	select {
	case <-r.done:
		return r.result()
	case <-ctx.Done():
	}
	if q.withdraw(r) {
		return commit.Outcome{}, fmt.Errorf("%w: %w", store.ErrQueueFull, context.Cause(ctx))
	}
	if wanted.Imports() {
		<-r.done
		return r.result()
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-r.done:
		return r.result()
	case <-late.C:
		return commit.Outcome{}, fmt.Errorf("%w: the disk has not ended the commit yet",
			store.ErrOutcomeUnknown)
	}
}

// enter puts a request among those that wait, as soon as there is memory for it.
func (q *queue) enter(ctx context.Context, r *request) error {
	if err := q.memory.Acquire(ctx, r.taken()); err != nil {
		return fmt.Errorf("%w: %w", store.ErrQueueFull, context.Cause(ctx))
	}
	q.bytes.Add(r.taken())
	r.done = make(chan struct{})
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.release(r)
		return store.ErrClosed
	}
	q.waits = append(q.waits, r)
	if len(q.waits) == 1 {
		q.bell.Signal()
	}
	return nil
}

// withdraw takes a request back, unless a commit has taken it.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waits, r)
	if i < 0 {
		return false
	}
	q.waits = slices.Delete(q.waits, i, i+1)
	q.release(r)
	return true
}

// answer gives each request of a batch its outcome, or err when the commit was not stored: then a
// refusal does not count either, for it may rest on what another request of the batch would have
// stored.
func (q *queue) answer(batch []*request, err error) {
	for _, r := range batch {
		if err != nil {
			r.outcome.Err = err
		}
		q.release(r)
		close(r.done)
	}
}

func (q *queue) release(r *request) {
	q.bytes.Add(-r.taken())
	q.memory.Release(r.taken())
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
