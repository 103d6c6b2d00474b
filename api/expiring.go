package api

import (
	"time"

	"tidings/deliver"
	"tidings/store"
)

// expiringBody is an event that retention is expected to delete before its delivery has sent it.
type expiringBody struct {
	ID store.ID  `json:"id"`
	At time.Time `json:"at"` // about
}

// soon is the part of the time that events are kept which is left when it is said that they will go.
const soon = 4

// ofLimit is how many events of the topics of a limit are looked at for one that a delivery sends.
const ofLimit = 32

// waiting returns the oldest event that a delivery is not done with, of the first so many within a filter; nil if it
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

// expiry is what deliveries are judged by at one moment.
type expiry struct {
	s        *Server
	now      time.Time
	first    store.ID      // the oldest event of the log
	shortest time.Duration // nothing younger goes
}

// expiry returns it. The error is the log's.
func (s *Server) expiry() (*expiry, error) {
	info, err := s.log.Info()
	x := &expiry{s: s, now: s.o.Clock.Past(0), first: info.First}
	if err == nil && s.o.Outlook != nil {
		x.shortest, err = s.o.Outlook.Shortest(x.now)
	}
	return x, err
}

// of returns the event, of those that wait, that retention is expected to reach first, before the delivery does; nil
// for none. It is judged by the oldest event that waits, and the oldest for which each limit of topics counts: as soon
// as a quarter is left of the time that it is kept, at the pace of the delivery. One that goes through the log faster
// than time goes gets away. The oldest event is read if it is nil. The error is the log's.
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
			continue // it is the oldest of these
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

// judge returns the event with when it goes, if that is soon.
func (x *expiry) judge(d *deliver.Status, e *store.Event) (*expiringBody, error) {
	keeps, err := x.s.o.Outlook.Keeps(e.Topic, x.now)
	left := time.Duration(float64(keeps-x.now.Sub(e.Time())) / (1 - d.Pace))
	if err != nil || keeps == 0 || left > keeps/soon {
		return nil, err
	}
	return &expiringBody{e.ID, x.now.Add(left).UTC().Truncate(time.Second)}, nil
}
