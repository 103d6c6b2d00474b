package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tidings/store"
	"tidings/store/internal/commit"
)

// mirror keeps the log in step with its sequence. A log without a sequence has none. docs/adr/0015 has the
// reasons.
//
// Ownership: the committer (sequence.go) moves at and takes from the inbox; the follower goroutine puts into
// it; anyone may wait for at, and ask for the end.
type mirror struct {
	seq     store.Sequencer
	timeout time.Duration // see Options.SequencerTimeout
	file    *file
	queue   *queue
	logger  *slog.Logger

	// ctx ends everything that waits for the sequencer; leave ends ctx, some time after Close began.
	ctx   context.Context
	leave context.CancelFunc

	at       atomic.Pointer[store.Place] // up to here the log is applied and shown
	moved    broadcast                   // woken on every move of at
	inbox    inbox
	ends     ends
	followed chan struct{} // closed when the follower has returned

	held    atomic.Pointer[error]     // why a commit that has, or may have, a place is not applied; or nil
	refused atomic.Pointer[time.Time] // when a commit last found the sequencer unavailable; or nil
	lag     lag
	trims   atomic.Uint64 // commits of others with trims

	states    states                   // in the sequence, as far as it was applied
	offered   atomic.Pointer[offering] // an entry of a state that this node is writing; or nil
	shrinking sync.Mutex               // held while the sequence is examined or purged
	beside    uint64                   // size of a state without its events, as last measured; shrinking guards it
	floorless bool                     // the sequence is too large and has no floor, as was logged; shrinking guards it
	slack     uint64                   // see Options.SequenceSlack

	attempts, conflicts, unknown atomic.Uint64 // see store.SequenceStats
	rebuilt                      bool

	// Owned by the committer.
	until  time.Time // when the batch's waiters are answered
	why    error     // why the batch's last attempt got no place; nil if none was refused
	buf    []byte    // the commit to be placed
	secret *[32]byte // the log's secret; only the first commit of a sequence sets it
}

const (
	// inboxBytes bounds the commits that have arrived and are not applied.
	inboxBytes = commitBytes

	// closeWait is how long Close waits for the sequencer.
	closeWait = 2 * time.Second

	// againAfter is the delay before a sequencer that gave no answer is asked again, and roomAfter the delay
	// before a commit that found no space is retried.
	againAfter = 20 * time.Millisecond
	roomAfter  = time.Second

	// catchUpWait bounds CatchUp.
	catchUpWait = 5 * time.Second

	// unavailableFor is how long Ready reports that the sequencer was not available to a commit, unless one
	// succeeds sooner. It is limited because only commits find out.
	unavailableFor = 10 * time.Second
)

func newMirror(l *Log, o Options) *mirror {
	m := &mirror{seq: o.Sequencer, timeout: o.SequencerTimeout, file: l.file, queue: l.queue,
		logger: o.Logger, followed: make(chan struct{}), secret: &l.secret, rebuilt: o.rebuilt,
		slack: o.SequenceSlack}
	m.ctx, m.leave = context.WithCancel(context.Background())
	m.at.Store(new(store.Place))
	return m
}

func (m *mirror) place() store.Place { return *m.at.Load() }

// reached records that the log is applied up to a place.
func (m *mirror) reached(at store.Place) {
	m.at.Store(&at)
	m.refused.Store(nil)
	m.lag.look(m)
	m.moved.wake()
}

func (m *mirror) stats() store.SequenceStats {
	s := store.SequenceStats{Attempts: m.attempts.Load(), Conflicts: m.conflicts.Load(), Unknown: m.unknown.Load(),
		Rebuilt: m.rebuilt}
	s.Lag, s.Behind = m.lag.look(m)
	return s
}

// lag measures how far behind the mirror is, one place at a time: the place that was the newest when the
// previous one was reached.
type lag struct {
	mu    sync.Mutex
	place uint64
	since time.Time // when it was first seen
}

func (l *lag) look(m *mirror) (places uint64, behind time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, at, seen := time.Now(), m.place().Number, m.seq.Seen()
	if at >= l.place {
		l.place, l.since = seen, now
	}
	if at >= seen {
		return 0, 0
	}
	return seen - at, now.Sub(l.since)
}

// hold records why a commit has to wait; nil means that none does.
func (m *mirror) hold(why error) {
	if why == nil {
		m.held.Store(nil)
		return
	}
	if m.held.Swap(&why) == nil {
		m.logger.Warn("publishing is waiting", "error", why)
	}
}

// ready returns why a commit could not proceed, as far as is known.
func (m *mirror) ready() error {
	if why := m.held.Load(); why != nil {
		return *why
	}
	if refused := m.refused.Load(); refused != nil && time.Since(*refused) < unavailableFor {
		return fmt.Errorf("%w: a commit did not get a place in time", store.ErrUnavailable)
	}
	return nil
}

// pause waits before a retry; false means do not retry.
func (m *mirror) pause(after time.Duration) bool {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-m.ctx.Done():
	case <-m.file.failed:
	}
	return false
}

// stop ends the follower, and after closeWait whatever waits for the sequencer: the committer may be about to
// get an answer.
func (m *mirror) stop(stopped <-chan struct{}) {
	late := time.AfterFunc(closeWait, m.leave)
	<-stopped
	late.Stop()
	m.leave()
	<-m.followed
}

// follow puts the commits placed after the given place into the inbox.
func (m *mirror) follow(after store.Place) {
	defer close(m.followed)
	for warned := false; m.ctx.Err() == nil; {
		err := m.seq.Follow(m.ctx, after, func(at store.Place, b []byte) error {
			err := m.deliver(at, b)
			if err == nil {
				after, warned = at, false
			}
			return err
		})
		switch {
		case m.ctx.Err() != nil || m.file.failure() != nil:
		case errors.Is(err, store.ErrPurged) && after.Number < m.place().Number:
			after = m.place() // what has not arrived was its own
			continue
		case errors.Is(err, store.ErrDiverged), errors.Is(err, store.ErrPurged):
			_ = m.fail(err)
		case !warned:
			warned = true
			m.logger.Warn("not receiving commits of other nodes, will keep asking", "error", err)
		}
		if !m.pause(againAfter) {
			return
		}
	}
}

// fail ends the log after ErrDiverged or ErrPurged.
func (m *mirror) fail(err error) error {
	if errors.Is(err, store.ErrPurged) {
		err = fmt.Errorf("%w; restart this node: it rebuilds its mirror", err)
	}
	return m.file.fail(err)
}

func (m *mirror) deliver(at store.Place, b []byte) error {
	if now := m.place(); at.Number <= now.Number { // usually one of its own
		if at.Number == now.Number && at != now {
			return m.file.fail(fmt.Errorf("%w: another commit has place %d", store.ErrDiverged, at.Number))
		}
		return nil
	}
	k, err := commit.Decode(b)
	if err != nil {
		return m.file.fail(fmt.Errorf("place %d of the sequence: %w; start the release that wrote it, or a "+
			"newer one", at.Number, err))
	}
	m.lag.look(m)
	err = m.inbox.put(m.ctx, placed{at, k, int64(len(b))})
	m.queue.ring()
	return err
}

// placed is a commit that has its place.
type placed struct {
	at store.Place
	*commit.Commit
	size int64
}

// inbox holds commits that have arrived and are not applied.
type inbox struct {
	mu      sync.Mutex
	commits []placed
	bytes   int64
	came    broadcast
	taken   broadcast
}

// put adds a commit, once there is room for it.
func (in *inbox) put(ctx context.Context, p placed) error {
	for {
		taken := in.taken.wait()
		if in.add(p) {
			in.came.wake()
			return nil
		}
		select {
		case <-taken:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (in *inbox) add(p placed) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.bytes > 0 && in.bytes+p.size > inboxBytes {
		return false
	}
	in.commits, in.bytes = append(in.commits, p), in.bytes+p.size
	return true
}

// take returns all commits that have arrived.
func (in *inbox) take() []placed {
	in.mu.Lock()
	commits := in.commits
	in.commits, in.bytes = nil, 0
	in.mu.Unlock()
	in.taken.wake()
	return commits
}

// CatchUp implements store.Log.
func (l *Log) CatchUp(ctx context.Context) error {
	if l.mirror == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpWait,
		fmt.Errorf("this node has not caught up after %v", catchUpWait))
	defer cancel()
	end, err := l.mirror.end(ctx)
	for err == nil {
		moved := l.mirror.moved.wait()
		if l.mirror.place().Number >= end.Number {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", store.ErrUnavailable, context.Cause(ctx))
		case <-l.failed:
			err = l.failure()
		case <-l.closing:
			err = store.ErrClosed
		}
	}
	return err
}

// end asks for the end of the sequence. Callers that arrive during a call share the next one: the current
// call may have been answered already.
func (m *mirror) end(ctx context.Context) (store.Place, error) {
	a := m.ends.ask(m.askEnd)
	select {
	case <-a.done:
		return a.end, a.err
	case <-ctx.Done():
		return store.Place{}, fmt.Errorf("%w: %w", store.ErrUnavailable, context.Cause(ctx))
	}
}

func (m *mirror) askEnd() (store.Place, error) {
	ctx, cancel := context.WithTimeout(m.ctx, catchUpWait)
	defer cancel()
	at := m.place()
	end, err := m.seq.End(ctx, at.Number)
	switch {
	case errors.Is(err, store.ErrDiverged):
		return end, m.file.fail(err)
	case err == nil && (end.Number < at.Number || end.Number == at.Number && end != at):
		return end, m.file.fail(fmt.Errorf("%w: it ends at place %d, this log is at %d", store.ErrDiverged,
			end.Number, at.Number))
	case err != nil:
		return end, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return end, nil
}

// Lost describes, after ErrDiverged, which events the log has and its sequence has lost, as far as that can
// be determined.
func (l *Log) Lost(ctx context.Context) string {
	m, head := l.mirror, l.Head()
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if e, err := m.seq.Extent(ctx); err == nil && e.Last > 0 && e.Last < m.place().Number {
		_, b, err := m.seq.Find(ctx, e.Last-1)
		if k, bad := commit.Decode(b); err == nil && bad == nil && !head.Before(k.Last) {
			return fmt.Sprintf("the events after %s, up to %s", k.Last, head)
		}
	}
	return fmt.Sprintf("events up to %s", head)
}

// lookTime is how long a failed log may examine what the sequence still has.
const lookTime = 2 * time.Second

// ends keeps one call of End in flight.
type ends struct {
	mu        sync.Mutex
	now, next *asked
}

type asked struct {
	done chan struct{}
	end  store.Place
	err  error
}

// ask returns a call that begins after ask was called.
func (e *ends) ask(end func() (store.Place, error)) *asked {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now == nil {
		e.now = &asked{done: make(chan struct{})}
		go e.run(e.now, end)
		return e.now
	}
	if e.next == nil {
		e.next = &asked{done: make(chan struct{})}
	}
	return e.next
}

func (e *ends) run(a *asked, end func() (store.Place, error)) {
	for a != nil {
		a.end, a.err = end()
		close(a.done)
		e.mu.Lock()
		e.now, e.next = e.next, nil
		a = e.now
		e.mu.Unlock()
	}
}
