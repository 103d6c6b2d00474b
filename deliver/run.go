package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tidings/store"
)

// RunKind is what a run sends.
type RunKind string

const (
	Redriven RunKind = "redrive" // dead letters
	Replayed RunKind = "replay"  // events that were sent before
)

// RunState is the state of a run.
type RunState string

const (
	RunUnderWay RunState = "running"
	RunDone     RunState = "done"  // complete
	RunEnded    RunState = "ended" // before the end; Failure says why
)

// RunStatus describes a run: events sent beside the cursor, which does not move, at an administrator's request. A
// delivery has one at a time. It is in memory only: a restart ends it.
type RunStatus struct {
	Kind    RunKind
	Number  int // of a replay: the delivery's first is 1; else 0
	State   RunState
	Began   time.Time
	Ended   time.Time // zero while running
	At      store.ID  // the event being sent, or the last one sent; zero: none yet
	Sent    int       // answered 2xx
	Refused int       // skipped because the receiver does not take them
	Gone    int       // skipped because retention has deleted them
	Failure string    // of the last attempt, or why the run ended; "" for none
}

// run is a run with its internals. The Sender's mu guards the status.
type run struct {
	RunStatus
	next    func() (store.Event, error)  // io.EOF at the end, errGone for a missing event
	settled func(id store.ID, a *answer) // called with mu held after each attempt; may be nil
	close   func()                       // called at the end; may be nil
	newIDs  bool
	cancel  context.CancelFunc
	done    chan struct{}
}

var errGone = errors.New("retention has deleted the event")

// startRun starts the run that prepare makes; prepare is called with mu held.
func (s *Sender) startRun(name string, prepare func(d *delivery) (*run, error)) (Status, error) {
	s.operations.Lock()
	defer s.operations.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(name)
	if err != nil {
		return Status{}, err
	}
	if !s.mayRun(d) {
		return Status{}, fmt.Errorf("%w: the delivery is %s", ErrState, d.state(s.logID))
	}
	if d.run != nil && d.run.State == RunUnderWay {
		return Status{}, fmt.Errorf("%w: a %s is running", ErrState, d.run.Kind)
	}
	r, err := prepare(d)
	if err != nil {
		return Status{}, err
	}
	r.State, r.Began, r.done = RunUnderWay, time.Now().UTC(), make(chan struct{})
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(s.ctx)
	d.run = r
	s.over.Go(func() {
		defer close(r.done)
		defer r.cancel()
		failure := s.sendRun(ctx, d, r)
		if r.close != nil {
			r.close()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		r.State, r.Ended = RunDone, time.Now().UTC()
		if failure != "" {
			r.State, r.Failure = RunEnded, failure
		}
		s.o.Logger.Info("replay or redrive ended", "delivery", name, "kind", string(r.Kind),
			"state", string(r.State), "sent", r.Sent, "refused", r.Refused, "gone", r.Gone, "error", r.Failure)
	})
	return s.tagged(d), nil
}

// mayRun reports whether the delivery may have a run. The caller holds mu.
func (s *Sender) mayRun(d *delivery) bool {
	state := d.state(s.logID)
	return state == Running || state == GivenUp
}

// endRunOf ends the runs of deliveries that may no longer have one. The caller holds operations.
func (s *Sender) endRunOf(deliveries ...*delivery) {
	for _, d := range deliveries {
		s.mu.Lock()
		may := s.mayRun(d)
		s.mu.Unlock()
		if !may {
			s.endRun(d)
		}
	}
}

// endRun ends a run, cutting off a request under way. The caller holds operations.
func (s *Sender) endRun(d *delivery) {
	s.mu.Lock()
	r := d.run
	s.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// sendRun sends a whole run. If it ends early, it returns why; else "".
func (s *Sender) sendRun(ctx context.Context, d *delivery, r *run) string {
	if err := s.begin(ctx, d, r); err != nil {
		return "cannot write: " + clean(err.Error())
	}
	for {
		e, err := r.next()
		switch {
		case ctx.Err() != nil:
			return runStopped
		case errors.Is(err, io.EOF):
			return ""
		case errors.Is(err, errGone):
			s.mu.Lock()
			r.Gone++
			s.mu.Unlock()
			continue
		case err != nil:
			return "cannot read the log: " + clean(err.Error())
		}
		if failure := s.sendRunEvent(ctx, d, r, &e); failure != "" {
			return failure
		}
	}
}

const runStopped = "the delivery or the server was changed or stopped"

// sendRunEvent tries one event until it is taken or refused. If the run must end, it returns why; else "".
func (s *Sender) sendRunEvent(ctx context.Context, d *delivery, r *run, e *store.Event) string {
	s.mu.Lock()
	r.At = e.ID
	format, end := d.record.Format, time.Now().Add(d.record.GiveUp.Duration)
	s.mu.Unlock()
	m := r.message(e, format)
	for n := 1; s.o.Wants(d.name, e); n++ {
		to, err := s.open(d)
		if err != nil {
			return clean(err.Error())
		}
		a := s.attempt(ctx, d.name, to, m)
		if ctx.Err() != nil && !a.ok() {
			return runStopped
		}
		s.noteRun(r, e.ID, &a)
		switch {
		case a.ok():
			sleep(ctx, to.recipient.receiver().traits().pace)
			return ""
		case refusesEvent[a.status] && !a.config:
			return ""
		case a.status == 410, a.config, !time.Now().Before(end):
			return a.failure
		}
		if !sleep(ctx, max(backoff(n), a.retryAfter)) {
			return runStopped
		}
	}
	return ""
}

func (s *Sender) noteRun(r *run, id store.ID, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Failure = a.failure; a.ok() {
		s.counts.Sent++
		r.Sent++
	} else {
		s.counts.Failed++
	}
	if refusesEvent[a.status] && !a.config {
		r.Refused++
	}
	if r.settled != nil {
		r.settled(id, a)
	}
}

// event returns an event of the log, or errGone.
func (s *Sender) event(id store.ID) (store.Event, error) {
	e, err := s.log.Get(id)
	if errors.Is(err, store.ErrNotFound) {
		err = errGone
	}
	return e, err
}
