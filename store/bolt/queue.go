package bolt

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tidings/store"
	"tidings/store/internal/commit"
)

// request is a commit.Request on its way through the queue. The queue owns it, and reuses it once it is
// answered.
type request struct {
	commit.Request
	events int
	weight int64
	next   *request // behind it in its lane

	late    *time.Timer   // the caller's timer
	done    chan struct{} // receives once outcome is set
	outcome commit.Outcome
}

// taken is how much of the queue's memory the request uses.
func (r *request) taken() int64 { return min(r.weight, queueBytes) }

// kind orders requests by what they need of a full disk: trims free space, marks use little.
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
	// queueBytes bounds the memory of all requests that wait or are being committed. An event counts as its
	// data, its attributes and draftBytes.
	queueBytes = 64 << 20
	draftBytes = 512

	// A commit takes what is queued, up to these bounds, so that no answer waits for ever longer
	// transactions.
	commitEvents = 4096
	commitBytes  = 16 << 20
)

// queue is where requests gather while the committer is busy: there is no timer, one batch gathers while the
// other is being fsynced. Owners take turns, for room and for a place in the next commit, so that whoever
// sends more than the disk takes waits, and is refused, alone.
type queue struct {
	timeout  time.Duration // for a commit to take a write
	idle     sync.Pool     // of *request
	mu       sync.Mutex
	bell     *sync.Cond
	bytes    int64      // used by waits and by the commit in progress
	roomless turns      // requests for which there is no memory yet
	waits    turns      // requests for the next commits
	riders   []*request // requests that any of these takes along
	closed   bool
	rung     bool // there is something besides requests to do

	refusal error        // refuses every request; nil: requests are accepted
	held    func() error // why no commit takes anything, as far as is known; nil if not known

	// open are the keys of a commit whose outcome is unknown, and that was answered so.
	open map[commit.Hash]bool
}

func newQueue(timeout time.Duration) *queue {
	q := &queue{timeout: timeout}
	q.bell = sync.NewCond(&q.mu)
	q.idle.New = func() any {
		r := &request{done: make(chan struct{}, 1), late: time.NewTimer(patience)}
		r.late.Stop()
		return r
	}
	return q
}

// patience is how long a commit that has taken a request may last before the caller gets an unknown outcome,
// and how long a trim waits to be taken. Longer means that the disk hangs.
const patience = 25 * time.Second

// do queues a request and waits for its outcome. If ctx ends before a commit takes the request or, if ctx has
// no deadline, the time for that runs out, it is withdrawn: ErrQueueFull.
func (q *queue) do(ctx context.Context, wanted commit.Request) (commit.Outcome, error) {
	if ctx.Err() != nil {
		return commit.Outcome{}, fmt.Errorf("%w: %w", store.ErrQueueFull, context.Cause(ctx))
	}
	r := q.request(wanted)
	if err := q.enter(r); err != nil {
		return commit.Outcome{}, err
	}
	if _, ok := ctx.Deadline(); !ok && !wanted.Imports() {
		wait := q.timeout
		if r.kind() == ofTrim {
			wait = patience
		}
		r.late.Reset(wait)
	}
	cause := context.DeadlineExceeded
	select {
	case <-r.done:
		return q.result(r)
	case <-r.late.C:
	case <-ctx.Done():
		cause = context.Cause(ctx)
	}
	if q.withdraw(r) {
		return commit.Outcome{}, q.late(cause, &wanted)
	}
	if wanted.Imports() {
		<-r.done
		return q.result(r)
	}
	r.late.Reset(patience)
	select {
	case <-r.done:
		return q.result(r)
	case <-r.late.C:
		return commit.Outcome{}, fmt.Errorf("%w: the commit has not finished yet",
			store.ErrOutcomeUnknown)
	}
}

// request returns a request that is not queued yet.
func (q *queue) request(wanted commit.Request) *request {
	r := q.idle.Get().(*request)
	r.Request = wanted
	for d := range r.Drafts {
		r.events++
		r.weight += draftBytes + int64(d.Size())
	}
	r.weight = max(r.weight, draftBytes)
	return r
}

// result returns the outcome of a request that is done. Nobody else holds it any more.
func (q *queue) result(r *request) (commit.Outcome, error) {
	r.late.Stop()
	outcome := r.outcome
	*r = request{late: r.late, done: r.done}
	q.idle.Put(r)
	if outcome.Err != nil {
		return commit.Outcome{}, outcome.Err
	}
	return outcome, nil
}

// late returns the error of a request that no commit has taken in time. One that repeats a key that may still
// be stored must not get "not stored".
func (q *queue) late(cause error, r *commit.Request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.HasKey(q.open) {
		return fmt.Errorf("%w: unknown whether an earlier call stored them",
			store.ErrOutcomeUnknown)
	}
	if q.held != nil {
		if err := q.held(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %w", store.ErrQueueFull, cause)
}

// leaveOpen records the keys of a commit whose outcome is unknown; nil once it is known.
func (q *queue) leaveOpen(keys []commit.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = nil
	if len(keys) > 0 {
		q.open = make(map[commit.Hash]bool)
	}
	for i := range keys {
		q.open[keys[i].Hash] = true
	}
}

// enter queues a request, or has it wait for memory if there is not enough.
func (q *queue) enter(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return store.ErrClosed
	}
	if q.refusal != nil {
		return q.refusal
	}
	q.roomless.push(r)
	q.letIn()
	return nil
}

// letIn admits the requests for which there is memory. The caller holds mu.
func (q *queue) letIn() {
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
	q.letIn()
	return true
}

// answer gives each request of a batch its outcome, or err if the commit was not stored: then a refusal does
// not count either, because it may rest on what another request of the batch would have stored.
func (q *queue) answer(batch []*request, err error) {
	q.mu.Lock()
	for _, r := range batch {
		q.bytes -= r.taken()
	}
	q.letIn()
	q.mu.Unlock()
	for _, r := range batch {
		if err != nil {
			r.outcome.Err = err
		}
		r.done <- struct{}{} // has room; from here on the caller owns r
	}
}

// await blocks while there is nothing to take, until the queue is closed, or rung.
func (q *queue) await() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waits.len == 0 && !q.closed && !q.rung {
		q.bell.Wait()
	}
	q.rung = false
}

// take appends to batch what the next transaction commits, up to the bounds. It does not wait.
func (q *queue) take(batch []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, events, bytes, trimmed := len(batch), 0, int64(0), 0
	for r := q.waits.next(); r != nil; r = q.waits.next() {
		events, bytes, trimmed = events+max(1, r.events), bytes+r.weight, trimmed+r.Trims()
		if len(batch) > n && (events > commitEvents || bytes > commitBytes || trimmed > trimStep) {
			break
		}
		batch = append(batch, q.waits.pop())
	}
	return q.board(batch)
}

// ring makes await return.
func (q *queue) ring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rung = true
	q.bell.Signal()
}

// over reports whether take will never return anything again.
func (q *queue) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.waits.len == 0
}

// load returns how many requests wait, and the memory of all that are admitted and not answered.
func (q *queue) load() (requests int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.roomless.len + q.waits.len, q.bytes
}

// close refuses new requests, and those without memory. The committer takes the rest.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for r := q.roomless.next(); r != nil; r = q.roomless.next() {
		q.roomless.pop()
		r.outcome.Err = store.ErrClosed
		r.done <- struct{}{}
	}
	q.bell.Signal()
}

// turns holds requests, each owner's in its own lane, first in, first out. Lanes take turns. The zero turns
// is empty.
type turns struct {
	len    int
	turn   *lane // the lane whose turn it is; the lanes form a ring, and none is empty
	byName map[commit.Owner]*lane
	spare  *lane // the last lane that became empty
}

type lane struct {
	owner       commit.Owner
	first, last *request
	prev, next  *lane
}

func (t *turns) push(r *request) {
	l := t.byName[r.Owner()]
	if l == nil {
		l = t.add(r.Owner())
	}
	if l.last == nil {
		l.first = r
	} else {
		l.last.next = r
	}
	l.last = r
	t.len++
}

// add adds a lane, whose turn comes after all others.
func (t *turns) add(owner commit.Owner) *lane {
	if t.byName == nil {
		t.byName = make(map[commit.Owner]*lane)
	}
	l := t.spare
	if t.spare = nil; l == nil {
		l = &lane{}
	}
	l.owner, l.prev, l.next = owner, l, l
	if t.turn == nil {
		t.turn = l
	} else {
		l.prev, l.next = t.turn.prev, t.turn
		l.prev.next, l.next.prev = l, l
	}
	t.byName[owner] = l
	return l
}

// next returns what pop would return; nil if there is nothing.
func (t *turns) next() *request {
	if t.len == 0 {
		return nil
	}
	return t.turn.first
}

// pop takes the next request, and moves its lane to the end of the turns.
func (t *turns) pop() *request {
	l := t.turn
	r := l.first
	t.turn = l.next
	t.cut(l, nil, r)
	return r
}

// remove takes a request out of its lane; false if it is not there.
func (t *turns) remove(r *request) bool {
	l := t.byName[r.Owner()]
	if l == nil {
		return false
	}
	var before *request
	at := l.first
	for ; at != nil && at != r; at = at.next {
		before = at
	}
	if at == nil {
		return false
	}
	t.cut(l, before, r)
	return true
}

// cut takes a request out of its lane; before precedes it there, or is nil if it is the first. An empty lane
// is dropped.
func (t *turns) cut(l *lane, before, r *request) {
	if before == nil {
		l.first = r.next
	} else {
		before.next = r.next
	}
	if l.last == r {
		l.last = before
	}
	r.next = nil
	if t.len--; l.first == nil {
		t.drop(l)
	}
}

// drop takes an empty lane out of the ring.
func (t *turns) drop(l *lane) {
	delete(t.byName, l.owner)
	l.prev.next, l.next.prev = l.next, l.prev
	if t.turn == l {
		t.turn = l.next
	}
	if t.len == 0 {
		t.turn = nil
	}
	*l = lane{}
	t.spare = l
}
