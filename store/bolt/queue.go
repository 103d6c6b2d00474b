package bolt

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tidings/store"
	"tidings/store/internal/commit"
)

// request is a commit.Request on its way through the queue. It is the queue's, and used again once it
// was answered.
type request struct {
	commit.Request
	events int
	weight int64
	next   *request // behind it in its lane

	late    *time.Timer   // of who asked
	done    chan struct{} // has something when outcome holds what became of it
	outcome commit.Outcome
}

// taken is what the request takes of the queue's memory.
func (r *request) taken() int64 { return min(r.weight, queueBytes) }

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
	timeout  time.Duration // for a commit to take what asks to be stored
	idle     sync.Pool     // of *request
	mu       sync.Mutex
	bell     *sync.Cond
	bytes    int64      // taken by waits and by what is being committed
	roomless turns      // those for which there is no memory yet
	waits    turns      // those that the next commits take
	riders   []*request // those that any of these takes along
	closed   bool
	rung     bool // there is something beside them to do

	refusal error        // of all that comes; nil: what comes is let in
	held    func() error // why no commit takes anything, as far as is known; nil: nothing is known

	// open are the keys of a commit of which the outcome is not known, and which was answered so.
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

// patience is how long a commit that has taken a request may go on before who asked is told that the
// outcome is not known, and how long a trim waits to be taken. Longer means that the disk hangs.
const patience = 25 * time.Second

// do queues a request and waits for its outcome. When ctx ends before a commit takes the request, or,
// if ctx has no deadline, the time for that, it is withdrawn: ErrQueueFull.
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
		return commit.Outcome{}, fmt.Errorf("%w: the commit has not ended yet",
			store.ErrOutcomeUnknown)
	}
}

// request returns one that has not entered yet.
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

// result is the outcome of a request that is done. Nobody else has it any more.
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

// late is what a request ends with that no commit has taken in time. One that repeats what may be stored
// yet must not be told that it is not.
func (q *queue) late(cause error, r *commit.Request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.HasKey(q.open) {
		return fmt.Errorf("%w: it is not known whether an earlier call has stored them",
			store.ErrOutcomeUnknown)
	}
	if q.held != nil {
		if err := q.held(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %w", store.ErrQueueFull, cause)
}

// leaveOpen notes the keys of a commit of which the outcome is not known; nil: it is.
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

// enter puts a request among those that wait, for memory if there is not enough.
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

// letIn lets in those for which there is memory. The caller holds mu.
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

// answer gives each request of a batch its outcome, or err when the commit was not stored: then a
// refusal does not count either, for it may rest on what another request of the batch would have
// stored.
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
		r.done <- struct{}{} // has room; who asked has it from now on
	}
}

// take appends to batch what the next transaction commits, up to the bounds. It waits while there is
// nothing, and returns nothing once the queue is closed and empty, or when it was rung.
func (q *queue) take(batch []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waits.len == 0 && !q.closed && !q.rung {
		q.bell.Wait()
	}
	q.rung = false
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

// ring has take return.
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
		r.done <- struct{}{}
	}
	q.bell.Signal()
}

// turns holds requests, each owner's in a lane of its own, first in, first out. Lanes take turns. The
// zero turns is empty.
type turns struct {
	len    int
	turn   *lane // whose it is; they are a ring, and none is empty
	byName map[commit.Owner]*lane
	spare  *lane // the last that became empty
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

// add adds a lane, whose turn is after all others'.
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

// next is what pop would return; nil if there is nothing.
func (t *turns) next() *request {
	if t.len == 0 {
		return nil
	}
	return t.turn.first
}

// pop takes the next request, and its lane is the last to have its turn again.
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

// cut takes a request out of its lane, where it follows another or, nil, is the first. A lane that
// becomes empty goes.
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
