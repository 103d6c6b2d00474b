package bolt

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

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
// while the other is being fsynced. Owners take turns, for room and for a place in the next commit, so that
// who sends more than the disk takes waits, and is refused, alone.
type queue struct {
	mu       sync.Mutex
	bell     *sync.Cond
	bytes    int64 // taken by waits and by what is being committed
	roomless turns // those for which there is no memory yet
	waits    turns // those that the next commits take
	closed   bool
}

func newQueue() *queue {
	q := &queue{}
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
	if ctx.Err() != nil {
		return commit.Outcome{}, fmt.Errorf("%w: %w", store.ErrQueueFull, context.Cause(ctx))
	}
	if err := q.enter(r); err != nil {
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

// enter puts a request among those that wait, for memory if there is not enough.
func (q *queue) enter(r *request) error {
	r.done = make(chan struct{})
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return store.ErrClosed
	}
	q.roomless.push(r)
	q.admit()
	return nil
}

// admit lets in those for which there is memory. The caller holds mu.
func (q *queue) admit() {
	for r := q.roomless.next(); r != nil && q.bytes+r.taken() <= queueBytes; r = q.roomless.next() {
		q.roomless.pop()
		q.bytes += r.taken()
		q.waits.push(r)
	}
	q.bell.Signal()
}

// withdraw takes a request back, unless a commit has taken it.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waits.remove(r) {
		q.bytes -= r.taken()
	} else if !q.roomless.remove(r) {
		return false
	}
	q.admit()
	return true
}

// answer gives each request of a batch its outcome, or err when the commit was not stored: then a
// refusal does not count either, for it may rest on what another request of the batch would have
// stored.
func (q *queue) answer(batch []*request, err error) {
	q.mu.Lock()
	for _, r := range batch {
		q.bytes -= r.taken()
	}
	q.admit()
	q.mu.Unlock()
	for _, r := range batch {
		if err != nil {
			r.outcome.Err = err
		}
		close(r.done)
	}
}

// take appends to batch what the next transaction commits, up to the bounds. It waits while there is
// nothing, and returns nothing once the queue is closed and empty.
func (q *queue) take(batch []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waits.len == 0 && !q.closed {
		q.bell.Wait()
	}
	n, events, bytes, trimmed := len(batch), 0, int64(0), 0
	for r := q.waits.next(); r != nil; r = q.waits.next() {
		events, bytes, trimmed = events+max(1, r.events), bytes+r.weight, trimmed+r.Trims()
		if len(batch) > n && (events > commitEvents || bytes > commitBytes || trimmed > trimStep) {
			break
		}
		batch = append(batch, q.waits.pop())
	}
	return batch
}

// load returns how many requests wait, and the memory of all that have been let in and are not answered.
func (q *queue) load() (requests int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.roomless.len + q.waits.len, q.bytes
}

// close refuses what comes from now on, and what has no room. The committer takes the rest.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for r := q.roomless.next(); r != nil; r = q.roomless.next() {
		q.roomless.pop()
		r.outcome.Err = store.ErrClosed
		close(r.done)
	}
	q.bell.Signal()
}

// turns holds requests, each owner's in a lane of its own, first in, first out. Lanes take turns. The
// zero turns is empty.
type turns struct {
	len    int
	lanes  []*lane // none is empty; the first is next
	byName map[commit.Owner]*lane
}

type lane struct {
	owner    commit.Owner
	requests []*request
}

func (t *turns) push(r *request) {
	l := t.byName[r.Owner()]
	if l == nil {
		if t.byName == nil {
			t.byName = make(map[commit.Owner]*lane)
		}
		l = &lane{owner: r.Owner()}
		t.byName[l.owner] = l
		t.lanes = append(t.lanes, l)
	}
	l.requests = append(l.requests, r)
	t.len++
}

// next is what pop would return; nil if there is nothing.
func (t *turns) next() *request {
	if t.len == 0 {
		return nil
	}
	return t.lanes[0].requests[0]
}

// pop takes the next request, and its lane is the last to have its turn again.
func (t *turns) pop() *request {
	l := t.lanes[0]
	r := l.requests[0]
	t.lanes[0], l.requests[0] = nil, nil
	t.lanes, l.requests = t.lanes[1:], l.requests[1:]
	if t.len--; len(l.requests) > 0 {
		t.lanes = append(t.lanes, l)
	} else {
		delete(t.byName, l.owner)
	}
	return r
}

// remove takes a request out of its lane; false if it is not there.
func (t *turns) remove(r *request) bool {
	l := t.byName[r.Owner()]
	if l == nil {
		return false
	}
	i := slices.Index(l.requests, r)
	if i < 0 {
		return false
	}
	l.requests = slices.Delete(l.requests, i, i+1)
	if t.len--; len(l.requests) == 0 {
		delete(t.byName, l.owner)
		i = slices.Index(t.lanes, l)
		t.lanes = slices.Delete(t.lanes, i, i+1)
	}
	return true
}
