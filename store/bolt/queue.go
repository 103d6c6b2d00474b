package bolt

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"tidings/store"
)

// request is one call that waits for the committer: groups to append, events to trim, or an
// operation of its own.
type request struct {
	groups []group
	trim   []store.ID   // to delete, each topic's oldest first
	op     func() error // when set, run alone
	events int
	weight int64

	done    chan struct{} // closed when the groups' results, deleted and err hold the outcome
	deleted int           // of trim
	err     error
}

func (r *request) trims() bool { return len(r.trim) > 0 }

// group is a Group on its way, and then its result.
type group struct {
	drafts []store.Draft
	ids    []store.ID // of the drafts, in an Import; else nil, and the committer mints them
	key    *key       // nil without one
	twin   *group     // an earlier group of the same request that has the same key
	result store.Result
}

// stores reports whether, once it is admitted, anything of r is new to the log.
func (r *request) stores() bool {
	return slices.ContainsFunc(r.groups, func(g group) bool { return !g.result.Replayed })
}

func (r *request) answer(err error) {
	r.err = err
	close(r.done)
}

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
	bytes  atomic.Int64 // taken of room
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

// do queues r, waits for its outcome and returns it.
func (q *queue) do(ctx context.Context, r *request) error {
	for i := range r.groups {
		drafts := r.groups[i].drafts
		r.events += len(drafts)
		for j := range drafts {
			r.weight += draftBytes + int64(len(drafts[j].Data))
			for _, attribute := range drafts[j].Attributes {
				r.weight += int64(len(attribute.Name) + len(attribute.Value))
			}
		}
	}
	room := min(r.weight, queueBytes)
	if err := q.memory.Acquire(ctx, room); err != nil {
		return fmt.Errorf("%w: %w", store.ErrQueueFull, context.Cause(ctx))
	}
	q.bytes.Add(room)
	defer func() {
		q.bytes.Add(-room)
		q.memory.Release(room)
	}()
	r.done = make(chan struct{})
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return store.ErrClosed
	}
	q.waits = append(q.waits, r)
	if len(q.waits) == 1 {
		q.bell.Signal()
	}
	q.mu.Unlock()
	<-r.done
	return r.err
}

// take appends to batch what the next transaction commits: appends and steps of trims up to the
// bounds, or one operation. It waits while there is nothing, and returns nothing once the queue is
// closed and empty.
func (q *queue) take(batch []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waits) == 0 && !q.closed {
		q.bell.Wait()
	}
	n, events, bytes, trims := 0, 0, int64(0), 0
	for n < len(q.waits) {
		r := q.waits[n]
		if n > 0 && (r.op != nil || events+r.events > commitEvents ||
			bytes+r.weight > commitBytes || trims+len(r.trim) > trimStep) {
			break
		}
		n, events, bytes, trims = n+1, events+r.events, bytes+r.weight, trims+len(r.trim)
		if r.op != nil {
			break
		}
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
