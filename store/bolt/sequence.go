package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tidings/store"
	"tidings/store/internal/commit"
)

// Between deciding a commit and applying it, the sequencer is asked for its place.
//
//	a crash after          leaves
//	it is decided          nothing
//	it is offered          nothing, or a commit with a place: the next open applies it
//	it has its place       the commit: the next open applies it
//	it is applied          the commit, here too; nobody has been answered yet
//
// Callers get the same answers as without a sequencer, or that the outcome is unknown.

// errAnswered ends a commit whose requests were answered before its outcome was known.
var errAnswered = errors.New("answered")

// Why a commit has no place when its time is up, unless the sequencer says it.
var (
	errOthersFirst = fmt.Errorf("%w: other nodes got each place first", store.ErrUnavailable)
	errNotOffered  = fmt.Errorf("%w: this node had no time left to ask for a place", store.ErrUnavailable)
)

// sequence finds out what becomes of a decision; again means that it is void.
func (c *committer) sequence(batch []*request, decided *commit.Commit) (again bool, err error) {
	if decided.IsEmpty() {
		if err := c.file.check(); err != nil {
			return false, c.file.fail(err)
		}
		if !refuses(batch) {
			return false, nil
		}
		applied := c.applied
		err := c.reachEnd()
		return c.applied != applied, err
	}
	at := c.mirror.place()
	err = c.offer(batch, decided)
	switch {
	case errors.Is(err, store.ErrPlaceTaken):
		c.mirror.conflicts.Add(1)
		c.mirror.why = errOthersFirst
		if err = c.reach(at.Number + 1); err == nil {
			err = c.awaitTurn(c.mirror.until)
		}
	case errors.Is(err, store.ErrUnavailable):
		if time.Until(c.mirror.until) < againAfter || !c.mirror.pause(againAfter) {
			break // this error says why there is no place
		}
		c.mirror.why = err
		err = c.applyOthers()
	default:
		return false, err
	}
	if errors.Is(err, store.ErrUnavailable) {
		c.mirror.refused.Store(new(time.Now()))
	}
	return err == nil, err
}

// refuses reports whether the decision states something about the log that only holds at the end of the
// sequence: a commit that gets a place proves that it was decided there, and an empty one does not. What was
// stored before needs no proof.
func refuses(batch []*request) bool {
	for _, r := range batch {
		o := &r.outcome
		if o.Mark != nil || o.Err != nil && !errors.Is(o.Err, store.ErrNoSpace) {
			return true
		}
	}
	return false
}

// attempt is the one commit in flight, for which a place is being asked. Its bytes are in the mirror's
// buffer.
type attempt struct {
	c       *committer
	batch   []*request
	decided *commit.Commit // nil once the batch is answered: it borrows drafts, which the callers then own again
	after   store.Place
	until   time.Time // of the batch's patience, or of the current call
	open    bool      // it may have its place
	closes  bool      // it closes a state
}

// offer asks for a place for the commit and applies it. While it is unknown whether it has a place, nothing
// else is decided; after a while the batch is answered that the outcome is unknown. Errors: those of Append,
// and errAnswered.
func (c *committer) offer(batch []*request, decided *commit.Commit) error {
	m := c.mirror
	if err := m.ended(); err != nil {
		return err
	}
	a := &attempt{c: c, batch: batch, decided: decided, after: m.place(), until: m.until,
		closes: decided.State != nil && decided.State.Closing != nil}
	if !time.Now().Before(a.until) {
		return cmp.Or(m.why, errNotOffered)
	}
	if cap(m.buf) > 2*commitBytes {
		m.buf = nil
	}
	m.buf, _ = decided.AppendBinary(m.buf[:0]) // never fails
	defer m.queue.leaveOpen(nil)
	m.attempts.Add(1)
	at, err := a.ask()
	if err == nil {
		return a.apply(at)
	}
	if a.decided == nil {
		return errAnswered
	}
	return err
}

// ask calls the sequencer until it gives an answer.
func (a *attempt) ask() (store.Place, error) {
	m := a.c.mirror
	for {
		at, err := m.append(a)
		switch {
		case err == nil, errors.Is(err, store.ErrPlaceTaken):
			m.hold(nil)
			return at, err
		case errors.Is(err, store.ErrDiverged), errors.Is(err, store.ErrPurged):
			if err = m.fail(err); a.open {
				err = fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
			}
			return at, err
		case !a.open && (errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrUnavailable)):
			return at, err
		}
		a.open = true
		if !time.Now().Before(a.until) {
			if a.decided != nil {
				m.unknown.Add(1)
			}
			m.hold(fmt.Errorf("%w: no answer on whether a commit has a place: %v", store.ErrUnavailable, err))
			a.answer(err)
			a.until = time.Now().Add(m.timeout)
		}
		if !m.pause(againAfter) {
			return at, fmt.Errorf("%w: %v", store.ErrOutcomeUnknown, err)
		}
	}
}

// answer answers the batch, once, that the outcome is unknown.
func (a *attempt) answer(why error) {
	if a.decided == nil {
		return
	}
	a.c.queue.leaveOpen(a.decided.Keys)
	a.decided = nil
	a.c.queue.answer(a.batch, fmt.Errorf("%w: %v", store.ErrOutcomeUnknown, why))
}

// apply applies the commit, which has its place.
func (a *attempt) apply(at store.Place) error {
	k := a.decided
	if k == nil {
		var err error
		if k, err = commit.Decode(a.c.mirror.buf); err != nil {
			return a.c.file.fail(err)
		}
	}
	err := a.c.applyPlaced(k, at, func(full error) (*commit.Commit, error) {
		a.answer(full)
		return commit.Decode(a.c.mirror.buf)
	})
	switch {
	case a.decided == nil:
		return errAnswered
	case err != nil:
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	if a.batch != nil { // otherwise nothing was decided
		a.c.file.counters.crowded.Add(uint64(a.c.decider.Crowded()))
	}
	return nil
}

// append is one call of the sequencer.
func (m *mirror) append(a *attempt) (store.Place, error) {
	ctx, cancel := context.WithDeadline(m.ctx, a.until)
	defer cancel()
	if a.closes {
		return m.seq.AppendState(ctx, a.after, m.buf)
	}
	return m.seq.Append(ctx, a.after, m.buf)
}

// applyPlaced applies a commit that has its place. It is never split or refused: without room it waits, and
// the log is not ready. full is then called once, and returns what to apply.
func (c *committer) applyPlaced(k *commit.Commit, at store.Place,
	full func(error) (*commit.Commit, error)) error {
	if len(k.Trims) > 0 {
		if err := c.beforeTrims(); err != nil {
			return err
		}
	}
	for {
		err := c.applyUnseen(k, at)
		if err == nil {
			c.mirror.hold(nil)
			return nil
		}
		if !errors.Is(err, store.ErrNoSpace) {
			return err
		}
		c.mirror.hold(fmt.Errorf("%w: this disk has no room for a commit that other nodes have; waiting "+
			"for room", store.ErrNoSpace))
		if full != nil {
			if k, err = full(err); err != nil {
				return c.file.fail(err)
			}
			full = nil
		}
		if len(k.Trims) > 0 && c.reserved {
			_ = c.giveReserve() // best effort
		}
		if !c.mirror.pause(roomAfter) {
			return store.ErrClosed
		}
	}
}

// applyUnseen is applyAt, but never applies a trim during a search for excess: the search has counted, and
// relies on nobody else deleting what it reads.
func (c *committer) applyUnseen(k *commit.Commit, at store.Place) error {
	if len(k.Trims) > 0 {
		c.looking.Lock()
		defer c.looking.Unlock()
	}
	return c.applyAt(k, &at)
}

// beforeTrims waits until all pages of the file are checked, see checked.
func (c *committer) beforeTrims() error {
	c.checking.hurry()
	select {
	case <-c.checking.over:
		return nil
	case <-c.mirror.ctx.Done():
		return store.ErrClosed
	}
}

// applyOthers applies the commits that have arrived, in order, several in one transaction where that has the
// same result.
func (c *committer) applyOthers() error {
	came := c.mirror.inbox.take()
	for len(came) > 0 {
		p := came[0]
		came = came[1:]
		if p.at.Number <= c.mirror.place().Number { // its own
			continue
		}
		for len(came) > 0 && p.Takes(came[0].Commit) && p.size+came[0].size <= commitBytes &&
			len(p.Events)+len(came[0].Events) <= commitEvents {
			p.Join(came[0].Commit)
			p.at, p.size = came[0].at, p.size+came[0].size
			came = came[1:]
		}
		if err := c.mirror.ended(); err != nil {
			return err
		}
		if err := c.applyPlaced(p.Commit, p.at, nil); err != nil {
			return err
		}
		if len(p.Trims) > 0 {
			c.mirror.trims.Add(1)
		}
	}
	return c.mirror.ended()
}

// ended returns the error after which nothing may be applied: earlier commits may be missing.
func (m *mirror) ended() error {
	if m.ctx.Err() != nil {
		return store.ErrClosed
	}
	return m.file.failure()
}

// reachEnd applies everything that was placed before the call, by any node.
func (c *committer) reachEnd() error {
	ctx, cancel := context.WithDeadline(c.mirror.ctx, c.mirror.until)
	defer cancel()
	end, err := c.mirror.end(ctx)
	if err != nil {
		return err
	}
	return c.reach(end.Number)
}

// reach applies others' commits until the log is at the place or beyond it.
func (c *committer) reach(number uint64) error {
	timer := time.NewTimer(time.Until(c.mirror.until))
	defer timer.Stop()
	for {
		came := c.mirror.inbox.came.wait()
		if err := c.applyOthers(); err != nil || c.mirror.place().Number >= number {
			return err
		}
		select {
		case <-came:
		case <-timer.C:
			return fmt.Errorf("%w: this node is at place %d, and has waited for %d too long",
				store.ErrUnavailable, c.mirror.place().Number, number)
		case <-c.mirror.ctx.Done():
		case <-c.file.failed:
		}
	}
}

// awaitTurn applies others' commits for as long as the next place is left to other nodes, but not longer than until.
func (c *committer) awaitTurn(until time.Time) error {
	m := c.mirror
	for {
		came := m.inbox.came.wait()
		if err := c.applyOthers(); err != nil {
			return err
		}
		wait := min(m.seq.Turn(), time.Until(until))
		if wait <= 0 {
			return nil
		}
		select {
		case <-came:
		case <-time.After(wait):
		case <-m.ctx.Done():
		}
	}
}

// begin is called before a batch is decided.
func (m *mirror) begin() {
	if m != nil {
		m.until, m.why = time.Now().Add(m.timeout), nil
	}
}

// joinPatience is how long an open asks for the end of the sequence: longer than a sequencer needs to be
// certain that the sequence has lost what the log has.
const joinPatience = 45 * time.Second

// join brings a newly opened log up to date with its sequence. It is called before the committer runs. The
// first node to arrive makes the first commit, or the commits of the log that the sequence is to begin with.
func (c *committer) join(ctx context.Context, plant func(*committer) error) error {
	m, began := c.mirror, time.Now()
	from := m.place()
	m.begin()
	end, err := m.end(ctx)
	for errors.Is(err, store.ErrUnavailable) && time.Since(began) < joinPatience && m.pause(againAfter) {
		end, err = m.end(ctx)
	}
	for ; err == nil && m.place().Number < end.Number; m.begin() { // without a time limit while commits arrive
		err = c.reach(m.place().Number + 1)
	}
	if err == nil && plant != nil {
		err = plant(c)
	}
	for err == nil && m.place() == (store.Place{}) {
		head := c.horizon.Head()
		_, err = c.sequence(nil, &commit.Commit{After: head, Last: head, Secret: m.secret})
		if errors.Is(err, errAnswered) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("open the log at place %d of its sequence: %w", m.place().Number, err)
	}
	c.epoch, c.epochKept = store.NewEpoch(), false
	c.logger.Info("the log is up to date with its sequence", "from", from.Number, "to", m.place().Number,
		"after", time.Since(began).Round(time.Millisecond).String())
	return nil
}
