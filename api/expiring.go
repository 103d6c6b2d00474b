package api

import (
	"time"

	"tidings/deliver"
	"tidings/store"
)

// expiringBody is an event that retention is expected to delete before its delivery has sent it.
type expiringBody struct {
	ID store.ID  `json:"id"`
	At time.Time `json:"at"` // approximately
}

// soon: an event is reported as expiring when 1/soon of the time that it is kept is left.
const soon = 4

// ofLimit is how many events of a limit's topics are searched for one that a delivery sends.
const ofLimit = 32

// waiting returns the oldest event that a delivery is not done with, among the first n within a filter; nil if it
// sends none of these.
func (s *Server) waiting(d *deliver.Status, within store.Filter, n int) (*store.Event, error) {
	page, err := s.log.NewReader(within, d.At).Next(n)
	if err != nil {
		return nil, err
	}
	f := d.Filter()
	for i := range page.Events {
		if f.Match(page.Events[i].Topic) {
			return &page.Events[i], nil
		}
	}
	return nil, nil
}

// expiry is what deliveries are judged by at a given moment.
type expiry struct {
	s        *Server
	now      time.Time
	first    store.ID      // the oldest event of the log
	shortest time.Duration // nothing younger is deleted
}

// expiry returns the values as of now. Errors are the log's.
func (s *Server) expiry() (*expiry, error) {
	info, err := s.log.Info()
	x := &expiry{s: s, now: s.o.Clock.Past(0), first: info.First}
	if err == nil && s.o.Outlook != nil {
		x.shortest, err = s.o.Outlook.Shortest(x.now)
	}
	return x, err
}

// of returns the waiting event that retention is expected to reach first, before the delivery does; nil for none. It
// judges the oldest waiting event, and the oldest that each topic limit applies to: an event is returned once a
// quarter of the time that it is kept is left, at the pace of the delivery. A delivery that moves through the log
// faster than time passes gets away. A nil oldest is read from the log. Errors are the log's.
func (x *expiry) of(d *deliver.Status, oldest *store.Event) (found *expiringBody, err error) {
	outlook := x.s.o.Outlook
	if outlook == nil || d.State == deliver.Held || d.State == deliver.Damaged || d.Pace >= 1 ||
		x.now.Sub(store.Later(d.At, x.first).Time()) < x.shortest-x.shortest/soon {
		return nil, nil // most are no further behind
	}
	if oldest == nil {
		if oldest, err = x.s.waiting(d, d.Filter(), 1); oldest == nil {
			return nil, err
		}
	}
	events := []*store.Event{oldest}
	for _, limited := range outlook.Filters() {
		if limited.Match(oldest.Topic) {
			continue // it is the oldest of these, too
		}
		e, err := x.s.waiting(d, limited, ofLimit)
		if err != nil {
			return nil, err
		}
		if e != nil {
			events = append(events, e)
		}
	}
	for _, e := range events {
		goes, err := x.judge(d, e)
		if err != nil {
			return nil, err
		}
		if goes != nil && (found == nil || goes.At.Before(found.At)) {
			found = goes
		}
	}
	return found, nil
}

// judge returns the event and when it will be deleted, if that is soon.
func (x *expiry) judge(d *deliver.Status, e *store.Event) (*expiringBody, error) {
	keeps, err := x.s.o.Outlook.Keeps(e.Topic, x.now)
	left := time.Duration(float64(keeps-x.now.Sub(e.Time())) / (1 - d.Pace))
	if err != nil || keeps == 0 || left > keeps/soon {
		return nil, err
	}
	return &expiringBody{e.ID, x.now.Add(left).UTC().Truncate(time.Second)}, nil
}
