package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"tidings/store"
	"tidings/store/internal/commit"
)

// committer is the single goroutine that writes. It takes the queued requests, decides them, makes the result
// durable in one transaction, shows it to readers, answers, and repeats: while one batch is being fsynced the
// next one gathers, without a timer.
//
// The life of an event, what a crash leaves at each moment, and where to read on:
//
//	moment    where the event is              a crash leaves        file: function
//	arrives   the kernel's buffer             nothing               api/api.go: ServeHTTP
//	admitted  there; the body is unread       nothing               api/guard.go: guard
//	read      a store.Draft of the handler    nothing               api/form.go: readForm
//	keyed     a commit.Request                nothing               append.go: AppendOnce
//	queued    queue.waits, or roomless before nothing               queue.go: do
//	          that; the handler waits
//	decided   a commit.Commit, with its ID    nothing               commit.go: try; commit.Decider
//	applied   dirty pages of bbolt            nothing               apply.go: change.write
//	synced    the file                        all or none of the    update.go: transact
//	                                          batch; unanswered,
//	                                          and read by nobody
//	shown     file and index; the head moved  all of the batch      show.go: show
//	answered  the client                      all of the batch;     queue.go: answer
//	                                          the answer is lost
//
// api/stream.go continues from there, to a subscriber. With a sequencer there is one more moment, between
// decided and applied: see sequence.go.
type committer struct {
	file    *file
	horizon *horizon
	queue   *queue
	space   *space
	limits  commit.Limits
	now     func() time.Time
	logger  *slog.Logger
	stopped chan struct{} // closed when run has returned

	// Idempotency keys are forgotten when they are older than window, as judged by past if it is set.
	window time.Duration
	past   func(age time.Duration) time.Time

	// between, unless nil, is called with each commit between its decision and its application, and may apply
	// commits that others have decided. Nil means this process alone.
	between between

	mirror   *mirror // nil means this process alone
	checking *checking
	looking  *sync.Mutex // held while someone computes what to trim, and while others' trims are applied

	// committed, unless nil, is called when a transaction is in the file but not yet shown: what readers find
	// during its last fsync. Nil except in tests.
	committed func()

	// Owned by the committer, as are the topics' next states.
	decider  commit.Decider
	requests []*commit.Request // those being decided
	view     view              // they are decided through it
	change   change            // the commit being applied
	applied  uint64            // commits, since Open
	shares   commit.Shares
	keys     keys
	marks    int // read marks in the file
	bare     int // topics without events
	books    books
	suspects []store.ID // records found damaged above the checkpoint by an Open
	reserved bool       // the file has the reserve
	extent   int        // its bytes in one piece, or those of the next reserve
	full     bool       // a commit found no space, and none has stored anything since
	warned   time.Time  // when full was last logged
	behind   bool       // the clock is behind the last ID; logged once

	epoch     store.Epoch // the newest: of this Open, or of a node that has begun one since
	epochKept bool        // the file holds it
}

// between is called with a commit that is decided and not yet applied.
type between func(decided *commit.Commit, apply func(*commit.Commit) error)

// clockWarning is how far the clock may be behind the last ID before a warning is logged.
const clockWarning = time.Second

func (c *committer) run() {
	defer close(c.stopped)
	var batch []*request
	for {
		c.queue.await()
		if c.mirror != nil {
			_ = c.applyOthers() // an error here recurs for the batch
			c.placeOffered()
			if waiting, _ := c.queue.load(); waiting > 0 {
				_ = c.awaitTurn(time.Now().Add(c.mirror.timeout)) // likewise
			}
		}
		batch = c.queue.take(batch[:0])
		if len(batch) == 0 {
			if c.queue.over() {
				c.checkpoint()
				return
			}
			continue
		}
		c.commit(batch)
		answered := len(batch)
		clear(batch)
		clear(c.requests)
		c.decider.Release()
		c.giveTurn(answered)
	}
}

// giveTurn lets the waiters that were just answered run, so that their next requests are in the next batch:
// otherwise each commit would hold only what arrived while the last one was synced. It never blocks, and
// yields only once when a good batch already waits: callers that need more turns arrive while that batch is
// synced, and the disk never idles.
func (c *committer) giveTurn(answered int) {
	for turn := range yields {
		if waiting, _ := c.queue.load(); answered == 1 || turn > 0 && waiting >= max(goodBatch, answered/2) {
			return
		}
		runtime.Gosched()
	}
}

const (
	// yields is the maximum number of turns: a waiter that was answered has an answer to write, and a request
	// to read.
	yields = 4

	// goodBatch is how many requests share a commit so that its cost is small for each.
	goodBatch = 16
)

// mayHang runs a commit, which a hanging disk may hold up, and exposes its age.
func (c *committer) mayHang(commit func() error) error {
	began := time.Now()
	c.file.counters.since.Store(&began)
	warning := time.AfterFunc(hangAfter, func() {
		c.logger.Warn("disk hangs: a commit has not finished; refusing publishes until it does",
			"for", hangAfter.String())
	})
	err := commit()
	c.file.counters.since.Store(nil)
	if !warning.Stop() {
		c.logger.Warn("the hanging commit has finished", "after", time.Since(began).String())
	}
	return err
}

// commit makes the batch durable and answers it. If there is no space for all of it in one transaction, it is
// decided again in parts: each step of a trim, with the pages of the reserve, then the read marks, then the
// appends, into the space that this freed. No part fails because of another.
func (c *committer) commit(batch []*request) {
	err := c.try(batch)
	if !errors.Is(err, store.ErrNoSpace) {
		c.answer(batch, err)
		return
	}
	parts := split(batch)
	switch {
	case batch[0].kind() == ofTrim && c.reserved && c.mirror == nil:
		_ = c.giveReserve() // best effort: without it the trims may fail, and say so
	case len(parts) == 1:
		c.answer(batch, err)
		return
	}
	for _, part := range parts {
		c.answer(part, c.try(part))
	}
}

func (c *committer) answer(batch []*request, err error) {
	if !errors.Is(err, errAnswered) {
		c.queue.answer(batch, err)
	}
}

// split sorts the batch by kind and cuts it into parts: each trim alone, all marks, all appends.
func split(batch []*request) (parts [][]*request) {
	slices.SortStableFunc(batch, func(a, b *request) int { return a.kind() - b.kind() })
	for len(batch) > 0 {
		kind, n := batch[0].kind(), 1
		for kind != ofTrim && n < len(batch) && batch[n].kind() == kind {
			n++
		}
		parts, batch = append(parts, batch[:n]), batch[n:]
	}
	return parts
}

// try decides the batch and applies the decision. A commit from elsewhere in between makes the decision void,
// because it was made without it.
func (c *committer) try(batch []*request) error {
	c.mirror.begin()
	for {
		applied := c.applied
		decided, err := c.decide(batch)
		if err != nil {
			return err
		}
		if c.mirror != nil {
			if again, err := c.sequence(batch, decided); !again {
				return err
			}
			continue
		}
		if decided.IsEmpty() { // its answers still depend on the file being in its place
			if err := c.file.check(); err != nil {
				return c.file.fail(err)
			}
			return nil
		}
		if c.between != nil {
			c.between(decided, c.apply)
		}
		if c.applied == applied {
			err := c.apply(decided)
			if err == nil {
				c.file.counters.crowded.Add(uint64(c.decider.Crowded()))
			}
			return err
		}
	}
}

// apply makes a commit durable, and then visible. It decides nothing, and treats a commit decided by another
// process in the same way. A crash before update returns leaves none or all of the commit, and nobody has
// been answered. A crash after it leaves all of it.
func (c *committer) apply(k *commit.Commit) error { return c.applyAt(k, nil) }

// applyAt is apply for a commit that has its place in a sequence, if at is not nil.
func (c *committer) applyAt(k *commit.Commit, at *store.Place) error {
	if at != nil {
		c.leaveOutKnown(k)
	}
	if err := c.follows(k); err != nil {
		return c.file.fail(err)
	}
	ch := &c.change
	ch.begin(c, k, at)
	if at == nil && (len(k.Events) > 0 || len(k.Trims) > 1) && c.space.isLow() {
		// What the floor keeps free is for trims: an append gets the pages that trims have freed, and no more
		// of the disk, and so does a trim that can still be split. The file is already larger than this size.
		c.file.db.MaxSize = 1
		defer func() { c.file.db.MaxSize = 0 }()
	}
	err := c.update(ch.write)
	if errors.Is(err, store.ErrNoSpace) && ch.piece != nil { // the piece can wait
		c.books.postpone(ch)
		c.drop(ch)
		ch.begin(c, k, at)
		err = c.update(ch.write)
	}
	if err != nil {
		if errors.Is(err, store.ErrNoSpace) {
			c.space.missed(uint64(len(ch.buf)))
			c.drop(ch)
		}
		return err
	}
	if c.committed != nil {
		c.committed()
	}
	c.show(ch)
	c.applied++
	return nil
}

// follows compares what the commit was decided on with the current log.
func (c *committer) follows(k *commit.Commit) error {
	if head := c.horizon.Head(); k.After != head {
		return fmt.Errorf("commit of events after %s, the log ends at %s", k.After, head)
	}
	for i, t := range k.Topics {
		if want := len(c.horizon.index.byID) + i; int(t.Number) != want {
			return fmt.Errorf("commit gives topic %s the number %d, expected %d",
				t.Name, t.Number, want)
		}
	}
	return nil
}

// leaveOutKnown removes from a commit the topics and keys that the log already knows, because it began with a
// state that has them, or has a later key in the place of one.
func (c *committer) leaveOutKnown(k *commit.Commit) {
	k.Keys = slices.DeleteFunc(k.Keys, func(key commit.Key) bool {
		first, known := c.keys.byHash[key.Hash]
		return known && !first.Before(key.First)
	})
	known := c.horizon.index.byID
	for len(k.Topics) > 0 {
		t := &k.Topics[0]
		if int(t.Number) >= len(known) || known[t.Number].name != t.Name {
			return
		}
		k.Topics = k.Topics[1:]
	}
}

// watchClock warns once when time stalls.
func (c *committer) watchClock(now time.Time) {
	behind := c.horizon.Head().Time().Sub(now)
	if behind > clockWarning && !c.behind {
		c.logger.Warn("clock is behind the newest event; new events keep its timestamp "+
			"until the clock catches up", "behind", behind.Round(time.Second).String())
	}
	c.behind = c.behind && behind > 0 || behind > clockWarning
}
