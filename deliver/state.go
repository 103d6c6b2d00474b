package deliver

import (
	"time"

	"tidings/store"
)

// State is the state of a delivery.
type State string

const (
	Running  State = "running"  // it sends, or waits for events
	Failing  State = "failing"  // running, but its last attempt failed
	Paused   State = "paused"   // by an administrator
	GivenUp  State = "stopped"  // one event has failed for too long
	Disabled State = "disabled" // the receiver has answered 410
	Held     State = "held"     // made for another log, of which this is a copy
	Locked   State = "locked"   // its secrets cannot be opened
	Damaged  State = "damaged"  // its record is damaged

	Incomplete State = "incomplete" // it has no URL and no secret yet
)

const needsTarget = "it was created without its URL and secret, and waits for them"

// States are all states.
var States = []State{Running, Failing, Paused, GivenUp, Disabled, Held, Locked, Damaged, Incomplete}

// state returns Running also while the delivery fails or is locked. The caller holds mu, or is New.
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

// Status describes a delivery and its state.
type Status struct {
	Recipient
	Name          string
	Tag           string // identifies the settings, for Put
	Topics        []string
	Format        Format
	GiveUpAfter   time.Duration
	OnGiveUp      OnGiveUp
	Order         Order
	InFlight      int    // requests at once
	Origin        string // of its URL; the rest is a secret
	SecretChanged time.Time
	CreatedBy     string // a token's subject; "" for none
	Created       time.Time
	State         State
	Reason        string    // why it does not send; "" for Paused
	At            store.ID  // matching events up to here are done
	Front         store.ID  // matching events up to here are done, or in one of Lanes
	Sent          time.Time // the last 2xx since the server started; zero: none
	Pace          float64   // seconds of the log that At advances per second, over the last minute or two

	Lanes    int    // topics, or parallel events, not done up to Front
	HeldBack int    // those whose message fails
	Due      string // ID of the longest-failing message; "": none fails
	Attempts int    // at this message
	First    time.Time
	Last     time.Time
	Next     time.Time
	Failure  string // of the last attempt

	Dead int        // how many dead letters there are
	Run  *RunStatus // the last one since the server started; nil: none
}

// Filter matches the events to send.
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
		status.Reason = "its record is damaged; set it again or delete it"
	case status.State == Held:
		status.Reason = `it belongs to the log of which this is a copy; "tidings deliveries resume --all" ` +
			"lets all deliveries send from here"
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

// tagged is status with the tag, which takes longer.
func (s *Sender) tagged(d *delivery) Status {
	status := s.status(d)
	status.Tag = d.record.tag()
	return status
}

// Get returns the status of a delivery. Errors: ErrNotFound.
func (s *Sender) Get(name string) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(name)
	if err != nil {
		return Status{}, err
	}
	return s.tagged(d), nil
}

// List returns the deliveries after a name, sorted by name, at most max.
func (s *Sender) List(after string, max int) (list []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.sorted() {
		if d.name > after && len(list) < max {
			list = append(list, s.tagged(d))
		}
	}
	return list
}

// Stats holds values for metrics.
type Stats struct {
	Counts
	States    map[State]int
	Oldest    time.Time // since when the longest-failing message has failed; zero: none fails
	Unwritten bool      // progress cannot be written
	Dead      int       // dead letters of all deliveries
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
