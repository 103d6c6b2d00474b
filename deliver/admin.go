package deliver

import (
	"context"
	"fmt"
	"time"

	"tidings/store"
)

// Delete deletes a delivery, durably. Errors: ErrNotFound, and those of the log.
func (s *Sender) Delete(ctx context.Context, name string) error {
	s.operations.Lock()
	defer s.operations.Unlock()
	s.mu.Lock()
	d, err := s.find(name)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	d.halt()
	s.endRun(d)
	err = s.alone(func() error {
		gone := []store.NamedDelivery{{Name: name}}
		s.mu.Lock()
		for i := range d.dead {
			gone = append(gone, store.NamedDelivery{Name: letterRow(name, d.dead[i].ID)})
		}
		for key := range d.lanes {
			gone = append(gone, store.NamedDelivery{Name: laneRow(name, key)})
		}
		for row := range d.unwritten {
			gone = append(gone, store.NamedDelivery{Name: row})
		}
		s.mu.Unlock()
		err := s.log.SetDeliveries(ctx, gone, false)
		if err == nil {
			s.mu.Lock()
			delete(s.deliveries, name) // so that its progress is not written after it is gone
			s.mu.Unlock()
		}
		return err
	})
	if err != nil {
		s.start(d)
	}
	return err
}

// Pause pauses a delivery, durably. Errors: ErrNotFound, ErrState when it is not sending anyway, and those of the log.
func (s *Sender) Pause(ctx context.Context, name string) (Status, error) {
	return s.alter(ctx, name, func(d *delivery) error {
		if state := d.state(s.logID); state != Running && state != Paused {
			return fmt.Errorf("%w: it is already %s", ErrState, state)
		}
		return nil
	}, func(d *delivery) { d.record.Stopped, d.record.Reason = Paused, "" })
}

// Resume makes a delivery send again, at once, durably, whatever held it back, a log that is a copy included. Errors:
// ErrNotFound, ErrState when it is damaged, and those of the log.
func (s *Sender) Resume(ctx context.Context, name string) (Status, error) {
	return s.alter(ctx, name, func(d *delivery) error {
		if d.damaged {
			return fmt.Errorf("%w: its record is damaged; set it again", ErrState)
		}
		return nil
	}, s.release)
}

// release clears whatever keeps a delivery from sending. The caller holds mu.
func (s *Sender) release(d *delivery) {
	d.record.Log, d.record.Stopped, d.record.Reason = s.logID, "", ""
	d.tryAtOnce()
}

// Skip skips the failing message, durably. Its ID must be given, so that no other one is skipped. Errors: ErrNotFound,
// ErrState, and those of the log.
func (s *Sender) Skip(ctx context.Context, name, id string) (Status, error) {
	status, err := s.alter(ctx, name, func(d *delivery) error {
		if _, fails := d.failing(id); d.damaged || !fails {
			return fmt.Errorf("%w: %.100q is not its failing message", ErrState, id)
		}
		return nil
	}, func(d *delivery) {
		l, _ := d.failing(id)
		if at, err := store.ParseID(id); err == nil {
			if l == nil { // a message of several events: skip all of them
				at = store.Later(at, d.record.Due.Through)
			}
			d.passEvent(l, at)
		} else {
			d.passGap()
			d.record.Due = nil
		}
		if d.record.Stopped == GivenUp {
			d.record.Stopped, d.record.Reason = "", ""
		}
	})
	if err == nil {
		s.o.Logger.Warn("message skipped", "delivery", name, "id", id)
	}
	return status, err
}

// alter changes a delivery while its worker is halted, if it may. The worker of one that may not be changed is left
// alone.
func (s *Sender) alter(ctx context.Context, name string, may func(*delivery) error, change func(*delivery)) (Status,
	error) {
	s.operations.Lock()
	defer s.operations.Unlock()
	s.mu.Lock()
	d, err := s.find(name)
	if err == nil {
		err = may(d)
	}
	s.mu.Unlock()
	if err != nil {
		return Status{}, err
	}
	d.halt()
	var undo func()
	s.mu.Lock()
	if err = may(d); err == nil { // its worker may have gone further
		undo = d.keep()
		s.change(d)
		change(d)
	}
	s.mu.Unlock()
	if err == nil {
		if err = s.write(ctx, d); err != nil {
			s.mu.Lock()
			s.change(d) // a progress write may have included the change
			undo()
			s.mu.Unlock()
		}
	}
	s.start(d)
	s.endRunOf(d)
	if err != nil {
		return Status{}, err
	}
	return s.Get(name)
}

// PauseAll pauses every delivery that is sending, in one commit, and returns how many. Errors: those of the log.
func (s *Sender) PauseAll(ctx context.Context) (int, error) {
	return s.alterAll(ctx, func(d *delivery) bool {
		if d.state(s.logID) != Running {
			return false
		}
		s.change(d)
		d.record.Stopped = Paused
		return true
	})
}

// ResumeAll resumes every delivery that is paused, or whose log is a copy, in one commit, and returns how many. Errors:
// those of the log.
func (s *Sender) ResumeAll(ctx context.Context) (int, error) {
	return s.alterAll(ctx, func(d *delivery) bool {
		switch d.state(s.logID) {
		case Held:
			s.change(d)
			d.record.Log = s.logID
			return true
		case Paused:
			s.change(d)
			s.release(d)
			return true
		}
		return false
	})
}

// alterAll changes the deliveries for which change returns true; change calls Sender.change.
func (s *Sender) alterAll(ctx context.Context, change func(*delivery) bool) (int, error) {
	s.operations.Lock()
	defer s.operations.Unlock()
	s.mu.Lock()
	all := s.sorted()
	for _, d := range all {
		if d.worker != nil {
			d.worker() // cancel all before waiting for any
		}
	}
	s.mu.Unlock()
	for _, d := range all {
		d.halt()
	}
	var changed []*delivery
	var undo []func()
	s.mu.Lock()
	for _, d := range all {
		u := d.keep()
		if change(d) {
			changed, undo = append(changed, d), append(undo, u)
		}
	}
	s.mu.Unlock()
	err := s.write(ctx, changed...)
	s.mu.Lock()
	for i, d := range changed {
		if err != nil {
			s.change(d)
			undo[i]()
		}
	}
	s.mu.Unlock()
	for _, d := range all {
		s.start(d)
	}
	s.endRunOf(all...)
	if err != nil {
		return 0, err
	}
	return len(changed), nil
}

// TestResult is the outcome of a test.
type TestResult struct {
	Status int // of the answer; 0: no answer
	Took   time.Duration
	Error  string // "" for a 2xx
}

// Test sends a message of type tidings.test, whatever the state of the delivery, and changes nothing. Errors:
// ErrNotFound, ErrState, and those of seal.
func (s *Sender) Test(ctx context.Context, name string) (TestResult, error) {
	s.mu.Lock()
	d, err := s.find(name)
	format := Format("")
	if err == nil {
		format = d.record.Format
		switch {
		case d.damaged:
			err = fmt.Errorf("%w: its record is damaged; set it again", ErrState)
		case d.record.Sealed == nil:
			err = fmt.Errorf("%w: %s", ErrState, needsTarget)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return TestResult{}, err
	}
	to, err := s.open(d)
	if err != nil {
		return TestResult{}, err
	}
	id, err := store.NewID(time.Now())
	if err != nil {
		return TestResult{}, err
	}
	m := ownMessage("test-"+id.String(), "tidings.test", name, format, struct {
		Delivery string `json:"delivery"`
	}{name})
	began := time.Now()
	a := s.attempt(ctx, name, to, m)
	return TestResult{Status: a.status, Took: time.Since(began), Error: a.failure}, nil
}
