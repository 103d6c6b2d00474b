package deliver

import (
	"time"

	"tidings/store"
)

// State is what a delivery does.
type State string

const (
	Running  State = "running"  // it sends, or waits for something to send
	Failing  State = "failing"  // the same, and its last attempt failed
	Paused   State = "paused"   // by an administrator
	GivenUp  State = "stopped"  // one event has failed for too long
	Disabled State = "disabled" // the receiver has answered 410
	Held     State = "held"     // it was made for another log, of which this is a copy
	Locked   State = "locked"   // its secrets cannot be opened
	Damaged  State = "damaged"  // its record is

	Incomplete State = "incomplete" // it has no URL and no secret yet
)

const needsTarget = "it was made without its URL and secret, and waits for them"

// States are all of them.
var States = []State{Running, Failing, Paused, GivenUp, Disabled, Held, Locked, Damaged, Incomplete}

// state is Running also while it fails or is locked. The caller holds mu, or is New.
func (d *delivery) state(log store.ID) State {
	switch {
	case d.damaged:
		return Damaged
	case d.record.Log != log:
		return Held
	case d.record.Sealed == nil:
		return Incomplete
	case d.record.Stopped != "":
		return d.record.Stopped
	}
	return Running
}

// Status is what a delivery is and does.
type Status struct {
	Recipient
	Name          string
	Topics        []string
	Format        Format
	GiveUpAfter   time.Duration
	OnGiveUp      OnGiveUp
	Order         Order
	InFlight      int    // requests at once
	Origin        string // of its URL, which is a secret
	SecretChanged time.Time
	CreatedBy     string // the subject of a token; "" for none
	Created       time.Time
	State         State
	Reason        string    // of a State that does not send; "" for Paused
	At            store.ID  // everything that matches up to here is done with
	Front         store.ID  // what matches up to here is done with, or in one of Lanes
	Sent          time.Time // of the last 2xx since the server has started; zero: none
	Pace          float64   // seconds of the log that At moves in a second, over the last minute or two

	Lanes    int    // topics, or parallel events, that are not done with up to Front
	HeldBack int    // those of which the message fails
	Due      string // the ID of the message that fails, longest of them; "" while none does
	Attempts int    // at it
	First    time.Time
	Last     time.Time
	Next     time.Time
	Failure  string // of the last one

	Dead int        // how many dead letters there are
	Run  *RunStatus // the last one since the server has started; nil: none
}

// Filter is what is sent.
func (s *Status) Filter() store.Filter {
	f, _ := store.NewFilter(s.Topics...)
	return f
}

// status describes a delivery. The caller holds mu.
func (s *Sender) status(d *delivery) Status {
	r, at := &d.record, d.floor()
	status := Status{Recipient: r.Recipient, Name: d.name, Topics: r.Topics, Format: r.Format,
		GiveUpAfter: r.GiveUp.Duration, Origin: r.Origin, SecretChanged: r.Changed.Time, CreatedBy: r.By,
		Created: r.Made.Time, OnGiveUp: r.onGiveUp(), Order: r.order(), InFlight: r.inFlight(),
		State: d.state(s.logID), Reason: r.Reason,
		At: at, Front: d.at, Lanes: len(d.lanes), Sent: d.sent, Pace: d.pace(at, time.Now()), Dead: len(d.dead)}
	if d.run != nil {
		run := d.run.RunStatus
		status.Run = &run
	}
	fails, next := r.Due, d.next
	for _, l := range d.lanes {
		if l.Due == nil {
			continue
		}
		if status.HeldBack++; fails == nil || l.Due.First.Before(fails.First.Time) {
			fails, next = l.Due, l.next
		}
	}
	switch {
	case status.State == Damaged:
		status.Reason = "its record is damaged: set it again, or delete it"
	case status.State == Held:
		status.Reason = `it was made for another log, of which this is a copy: "tidings deliveries resume --all" ` +
			"has all send from here"
	case status.State == Incomplete:
		status.Reason = needsTarget
	case status.State == Running && d.locked != "":
		status.State, status.Reason = Locked, d.locked
	case status.State == Running && fails != nil:
		status.State = Failing
	}
	if fails != nil {
		status.Due, status.Attempts, status.First = fails.ID, fails.Attempts, fails.First.Time
		status.Last, status.Failure = fails.Last.Time, fails.Failure
		if status.State == Failing {
			status.Next = next
		}
	}
	return status
}

// Get returns one. Errors: ErrNotFound.
func (s *Sender) Get(name string) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(name)
	if err != nil {
		return Status{}, err
	}
	return s.status(d), nil
}

// List returns those after a name, sorted by it, at most max.
func (s *Sender) List(after string, max int) (list []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.sorted() {
		if d.name > after && len(list) < max {
			list = append(list, s.status(d))
		}
	}
	return list
}

// Stats are for metrics.
type Stats struct {
	Counts
	States    map[State]int
	Oldest    time.Time // since when the message that has failed longest does; zero: none does
	Unwritten bool      // progress cannot be written
	Dead      int       // letters, of all deliveries
}

// Stats returns them as of about now.
func (s *Sender) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{Counts: s.counts, States: make(map[State]int), Unwritten: s.troubled}
	for _, d := range s.deliveries {
		status := s.status(d)
		stats.States[status.State]++
		stats.Dead += status.Dead
		if status.State == Failing && (stats.Oldest.IsZero() || status.First.Before(stats.Oldest)) {
			stats.Oldest = status.First
		}
	}
	return stats
}
