package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tidings/store"
)

// OnGiveUp says what happens to an event that has failed for too long.
type OnGiveUp string

const (
	Stop     OnGiveUp = "stop"      // the delivery stops: nothing overtakes it
	SetAside OnGiveUp = "set_aside" // it becomes a dead letter, and the next event is sent
)

// MaxDead bounds the dead letters of a delivery. One that would exceed it stops.
const MaxDead = 1000

// ErrNoLetter: no event with this ID was set aside.
var ErrNoLetter = errors.New("dead letter not found")

// DeadLetter is an event that was set aside. Its data stays in the log, as long as it is retained.
type DeadLetter struct {
	ID       store.ID
	Topic    string
	Attempts int // redrives included
	First    time.Time
	Last     time.Time
	Failure  string // of the last attempt
	Gone     bool   // retention has deleted the event: it can no longer be sent
}

// letter is the log's record of a dead letter: a separate row, so that it is not rewritten with each progress.
type letter struct {
	ID       store.ID `json:"-"`
	Topic    string   `json:"topic"`
	Attempts int      `json:"attempts"`
	First    moment   `json:"first"`
	Last     moment   `json:"last"`
	Failure  string   `json:"failure"`
}

// rowSeparator separates the name of a delivery, which cannot contain it, from the ID of a dead letter. Doubled, it
// precedes the key of a lane.
const rowSeparator = "\x00"

func letterRow(name string, id store.ID) string { return name + rowSeparator + id.String() }

// loadRow loads a row of a dead letter or a lane, and reports whether it is one. A delivery's row comes before these.
func (s *Sender) loadRow(stored *store.NamedDelivery) bool {
	name, text, ok := strings.Cut(stored.Name, rowSeparator)
	if !ok {
		return false
	}
	d := s.deliveries[name]
	key, isLane := strings.CutPrefix(text, rowSeparator)
	id, err := store.ParseID(text)
	switch {
	case d == nil || !isLane && err != nil:
		s.o.Logger.Error("skipping a dead letter without a delivery", "delivery", name, "row", text)
		return true
	case isLane:
		s.loadLane(d, key, stored.Record)
		return true
	}
	l := letter{ID: id}
	if stored.Record == nil || json.Unmarshal(stored.Record, &l) != nil {
		l.Failure = "its record is damaged; the event is the one of this ID"
	}
	d.dead = append(d.dead, l)
	return true
}

// row is a row beside the delivery's that has unwritten changes.
type row struct {
	record any    // nil: to be deleted
	since  uint64 // the delivery's changes at that time
}

// rows returns the unwritten rows. The caller holds mu.
func (d *delivery) rows() (rows []store.NamedDelivery) {
	for name, r := range d.unwritten {
		stored := store.NamedDelivery{Name: name}
		if r.record != nil {
			text, err := json.Marshal(r.record)
			if err != nil {
				panic(err) // it has nothing that could fail
			}
			stored.Record = text
		}
		switch l := r.record.(type) {
		case letter:
			stored.ID = l.ID
		case *lane:
			stored.ID, l.written = l.After, true
		}
		rows = append(rows, stored)
	}
	return rows
}

// setRow schedules a row to be written, or deleted if record is nil. The caller holds mu, and calls change first.
func (d *delivery) setRow(name string, record any) {
	if d.unwritten == nil {
		d.unwritten = make(map[string]row)
	}
	d.unwritten[name] = row{record, d.changes}
}

// findLetter returns the index of a dead letter, or where it would be inserted. The caller holds mu.
func (d *delivery) findLetter(id store.ID) (int, bool) {
	return slices.BinarySearchFunc(d.dead, id, func(l letter, id store.ID) int { return l.ID.Compare(id) })
}

// setLetter sets a dead letter, or removes it if l is nil. The caller holds mu, and calls change first.
func (d *delivery) setLetter(id store.ID, l *letter) {
	i, ok := d.findLetter(id)
	switch {
	case l != nil && ok:
		d.dead[i] = *l
	case l != nil:
		d.dead = slices.Insert(d.dead, i, *l)
	case ok:
		d.dead = slices.Delete(d.dead, i, i+1)
		d.setRow(letterRow(d.name, id), nil)
		return
	default:
		return
	}
	d.setRow(letterRow(d.name, id), *l)
}

// giveUp ends the attempts at the failing message of f. A gap is never set aside: the receiver would not learn what it
// has lost. The caller holds mu.
func (w *worker) giveUp(m *message, l *lane, f *due) {
	d, r, logger := w.d, &w.d.record, w.s.o.Logger
	id, err := store.ParseID(m.id)
	aside := err == nil && r.onGiveUp() == SetAside
	if aside && len(d.dead)+len(m.events) <= MaxDead {
		for i := range m.events {
			id = m.events[i].ID
			d.setLetter(id, &letter{id, m.events[i].Topic, f.Attempts, f.First, f.Last, f.Failure})
		}
		logger.Warn("event set aside after failing for too long", "delivery", d.name, "origin", r.Origin,
			"id", m.id, "events", len(m.events), "attempts", f.Attempts, "error", f.Failure)
		d.passEvent(l, id)
		return
	}
	r.Stopped, r.Reason = GivenUp, "one message has failed for too long"
	if aside {
		r.Reason = fmt.Sprintf("%s, and %d are set aside, the limit: redrive or forget some", r.Reason,
			MaxDead)
	}
	logger.Error("delivery stopped at a failing message", "delivery", d.name,
		"origin", r.Origin, "id", m.id, "attempts", f.Attempts, "error", f.Failure, "reason", r.Reason)
}

// Dead returns the dead letters of a delivery after an ID, in log order, at most max. Errors: ErrNotFound, and those of
// the log.
func (s *Sender) Dead(name string, after store.ID, max int) (list []DeadLetter, err error) {
	s.mu.Lock()
	d, err := s.find(name)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	i, ok := d.findLetter(after)
	if ok {
		i++
	}
	for _, l := range d.dead[i:min(i+max, len(d.dead))] {
		list = append(list, DeadLetter{ID: l.ID, Topic: l.Topic, Attempts: l.Attempts, First: l.First.Time,
			Last: l.Last.Time, Failure: l.Failure})
	}
	s.mu.Unlock()
	for i := range list {
		if list[i].Gone, err = s.gone(list[i].ID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// gone reports whether the event is no longer retained.
func (s *Sender) gone(id store.ID) (bool, error) {
	at, err := s.log.Floor(id)
	return at != id, err
}

// Forget deletes the dead letter with this ID, or all if id is nil, durably, and returns how many. Errors: ErrNotFound,
// ErrNoLetter, and those of the log.
func (s *Sender) Forget(ctx context.Context, name string, id *store.ID) (int, error) {
	s.operations.Lock()
	defer s.operations.Unlock()
	s.mu.Lock()
	d, err := s.find(name)
	var forgotten []letter
	if err == nil {
		forgotten, err = d.chosen(id)
	}
	if err == nil && len(forgotten) > 0 {
		s.change(d)
		for i := range forgotten {
			d.setLetter(forgotten[i].ID, nil)
		}
	}
	s.mu.Unlock()
	if err != nil || len(forgotten) == 0 {
		return 0, err
	}
	if err := s.write(ctx, d); err != nil {
		s.mu.Lock()
		s.change(d) // a progress write may have included the change
		for i := range forgotten {
			d.setLetter(forgotten[i].ID, &forgotten[i])
		}
		s.mu.Unlock()
		return 0, err
	}
	s.o.Logger.Warn("dead letters forgotten", "delivery", name, "count", len(forgotten))
	return len(forgotten), nil
}

// chosen returns the dead letter with this ID, or all if id is nil. The caller holds mu.
func (d *delivery) chosen(id *store.ID) ([]letter, error) {
	if id == nil {
		return slices.Clone(d.dead), nil
	}
	i, ok := d.findLetter(*id)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoLetter, id)
	}
	return []letter{d.dead[i]}, nil
}

// Redrive retries the dead letter with this ID, or all if id is nil, in log order, beside the cursor. A letter that is
// answered 2xx is removed. Errors: ErrNotFound, ErrNoLetter, ErrState, and those of the log.
func (s *Sender) Redrive(name string, id *store.ID) (Status, error) {
	gone := false
	if id != nil {
		var err error
		if gone, err = s.gone(*id); err != nil {
			return Status{}, err
		}
	}
	return s.startRun(name, func(d *delivery) (*run, error) {
		letters, err := d.chosen(id)
		if err == nil && len(letters) == 0 {
			err = fmt.Errorf("%w: nothing is set aside", ErrState)
		}
		if err == nil && gone {
			err = fmt.Errorf("%w: retention has deleted the event; forget it", ErrState)
		}
		if err != nil {
			return nil, err
		}
		r := &run{RunStatus: RunStatus{Kind: Redriven}, next: s.nextLetter(d, letters)}
		r.settled = func(id store.ID, a *answer) { s.redriven(d, id, a) }
		return r, nil
	})
}

// nextLetter yields the events of the letters that are still set aside when their turn comes.
func (s *Sender) nextLetter(d *delivery, letters []letter) func() (store.Event, error) {
	return func() (store.Event, error) {
		for i := range letters {
			id := letters[i].ID
			s.mu.Lock()
			_, wanted := d.findLetter(id)
			s.mu.Unlock()
			if wanted {
				letters = letters[i+1:]
				return s.event(id)
			}
		}
		return store.Event{}, io.EOF
	}
}

// redriven records the outcome for a dead letter; it is written with the progress. The caller holds mu.
func (s *Sender) redriven(d *delivery, id store.ID, a *answer) {
	i, ok := d.findLetter(id)
	if !ok {
		return // forgotten meanwhile
	}
	s.change(d)
	if a.ok() {
		d.setLetter(id, nil)
		return
	}
	l := d.dead[i]
	l.Attempts, l.Last, l.Failure = l.Attempts+1, now(), a.failure
	d.setLetter(id, &l)
}
