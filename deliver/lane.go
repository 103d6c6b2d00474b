package deliver

import (
	"encoding/json"
	"fmt"
	"time"

	"tidings/store"
)

// Order says which events wait for which.
type Order string

const (
	Strict   Order = "strict"   // each waits for the one before it
	ByTopic  Order = "topic"    // each waits for the one before it in its topic
	Parallel Order = "parallel" // none waits
)

const (
	// DefaultInFlight is how many requests are under way at once for a delivery that is not strict.
	DefaultInFlight = 16

	// MaxInFlight bounds it. Each holds an event in memory.
	MaxInFlight = 100

	// MaxHeldBack bounds the topics, or parallel events, that are held back. At the limit, nothing of other topics is
	// sent.
	MaxHeldBack = 1000
)

// applyOrder is the part of apply for ordering.
func (r *record) applyOrder(set Settings) error {
	switch set.Order {
	case Strict, ByTopic, Parallel:
		r.Order = set.Order
	case "":
	default:
		return &InvalidError{"order", fmt.Sprintf("expected %q, %q or %q", Strict, ByTopic, Parallel)}
	}
	if r.people() && (r.order() != Strict || set.InFlight > 0) {
		return &InvalidError{"order", fmt.Sprintf("messages to people cover all pending events at once: expected "+
			"%q", Strict)}
	}
	if set.InFlight < 0 || set.InFlight > MaxInFlight {
		return &InvalidError{"in_flight", fmt.Sprintf("expected a number from 1 to %d", MaxInFlight)}
	}
	if set.InFlight > 0 {
		r.InFlight = set.InFlight
	}
	return nil
}

// lane is an unfinished part of everything up to the delivery's position: the events of a topic after an ID, or one
// event. It has its own row. The Sender's mu guards it.
type lane struct {
	Topic string   `json:"topic"`
	After store.ID `json:"after"`         // everything of the lane up to here is done; it was in the log
	Only  store.ID `json:"only,omitzero"` // the event, for a parallel delivery
	Told  store.ID `json:"told,omitzero"` // trims up to here were reported
	Due   *due     `json:"due,omitzero"`

	key     string   // the topic or, for a parallel delivery, the ID of the event
	last    store.ID // the lane has no event after this and before the position
	next    time.Time
	written bool // the log may have a row of it
}

func laneRow(name, key string) string { return name + rowSeparator + rowSeparator + key }

// loadLane loads a lane. Without it the delivery does not know what it has not sent.
func (s *Sender) loadLane(d *delivery, key string, record []byte) {
	l := lane{written: true}
	if record == nil || json.Unmarshal(record, &l) != nil {
		d.damaged = true
		s.o.Logger.Error("delivery record damaged; it sends nothing until it is set again or deleted",
			"delivery", d.name, "lane", key)
	}
	if l.last = l.Only; l.last.IsZero() {
		l.last = d.at
	}
	d.putLane(key, l)
}

// putLane sets a lane. The caller holds mu.
func (d *delivery) putLane(key string, l lane) *lane {
	if d.lanes == nil {
		d.lanes = make(map[string]*lane)
	}
	_, pending := d.unwritten[laneRow(d.name, key)] // perhaps a pending deletion
	l.key, l.written = key, l.written || pending
	d.lanes[key] = &l
	return &l
}

// touch schedules a lane to be written. The caller holds mu, and calls change first.
func (d *delivery) touch(l *lane) { d.setRow(laneRow(d.name, l.key), l) }

// closeLane closes a lane that is done. The caller holds mu, and calls change first.
func (d *delivery) closeLane(l *lane) {
	delete(d.lanes, l.key)
	if row := laneRow(d.name, l.key); l.written {
		d.setRow(row, nil)
	} else {
		delete(d.unwritten, row)
	}
}

// passEvent records that an event is done, in a lane unless l is nil. The caller holds mu, and calls change first.
func (d *delivery) passEvent(l *lane, id store.ID) {
	if l == nil {
		d.at, d.record.Due, d.next = id, nil, time.Time{}
	} else if l.After, l.Due, l.next = id, nil, (time.Time{}); l.After.Before(l.last) {
		d.touch(l)
	} else {
		d.closeLane(l)
	}
	d.look(time.Now())
}

// floor is the ID up to which everything is done. The caller holds mu.
func (d *delivery) floor() store.ID {
	at := d.at
	for _, l := range d.lanes {
		if l.After.Before(at) {
			at = l.After
		}
	}
	return at
}

// failing returns the lane of a failing message, nil if it is in none, and whether there is such a message. The caller
// holds mu.
func (d *delivery) failing(id string) (*lane, bool) {
	if d.record.Due != nil && d.record.Due.ID == id {
		return nil, true
	}
	for _, l := range d.lanes {
		if l.Due != nil && l.Due.ID == id {
			return l, true
		}
	}
	return nil, false
}

// tryAtOnce clears all failures. The caller holds mu, and calls change first.
func (d *delivery) tryAtOnce() {
	d.record.Due = nil
	for _, l := range d.lanes {
		if l.Due != nil {
			l.Due = nil
			d.touch(l)
		}
	}
}

// refit closes the lanes that no longer fit the settings. If the order has changed, that is all of them: sending
// restarts at the oldest event that is not done. The caller has the delivery alone.
func (d *delivery) refit(last Order) {
	if last != "" && last != d.record.order() {
		d.at, d.record.Told = d.floor(), store.ID{} // what a lane has lost may not have been reported
	}
	filter := d.record.filter()
	for _, l := range d.lanes {
		if last != d.record.order() || !filter.Match(l.Topic) {
			d.closeLane(l)
		}
	}
	if gap := d.record.Gap; gap != nil && gap.Lane != "" && d.lanes[gap.Lane] == nil {
		d.record.Gap = nil // it is found again, if it still is a gap
	}
}

// keep returns an undo. The caller holds mu, for the undo too, and calls change before the undo.
func (d *delivery) keep() (undo func()) {
	was, at, lanes := d.record, d.at, make(map[string]lane, len(d.lanes))
	for key, l := range d.lanes {
		lanes[key] = *l
	}
	return func() {
		d.record, d.at = was, at
		for key, l := range lanes {
			d.touch(d.putLane(key, l))
		}
	}
}
