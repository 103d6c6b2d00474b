package deliver

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"tidings/replay"
	"tidings/store"
)

// MaxReplayIDs bounds the events named for a replay.
const MaxReplayIDs = 1000

// Replay says which events to send again: those with the given IDs, or those from Start on.
type Replay struct {
	Start   replay.Start
	Through store.ID // at most, and if zero, the delivery's position: it sends what comes after that itself
	IDs     []store.ID
	NewIDs  bool // append -r and the replay's number to the requests' IDs, so that nobody takes them for repeats
}

// Replay sends events again, beside the cursor, in log order. Events that retention has deleted, and named events that
// the delivery does not send, are skipped. Errors: ErrNotFound, ErrState.
func (s *Sender) Replay(name string, what Replay) (Status, error) {
	return s.startRun(name, func(d *delivery) (*run, error) {
		s.change(d)
		d.record.Replays++
		r := &run{RunStatus: RunStatus{Kind: Replayed, Number: d.record.Replays}, newIDs: what.NewIDs}
		if filter := d.record.filter(); len(what.IDs) > 0 {
			r.next = s.named(filter, what.IDs)
		} else {
			through := d.at
			if !what.Through.IsZero() && what.Through.Before(through) {
				through = what.Through
			}
			p := &passage{s: s, filter: filter, start: what.Start, through: through}
			r.next, r.close = p.next, p.close
		}
		return r, nil
	})
}

// EndRun ends the run of a delivery, a request under way included. Errors: ErrNotFound, ErrState.
func (s *Sender) EndRun(name string) (Status, error) {
	s.operations.Lock()
	defer s.operations.Unlock()
	s.mu.Lock()
	d, err := s.find(name)
	if err == nil && (d.run == nil || d.run.State != RunUnderWay) {
		err = fmt.Errorf("%w: no replay or redrive is running", ErrState)
	}
	s.mu.Unlock()
	if err != nil {
		return Status{}, err
	}
	s.endRun(d)
	return s.Get(name)
}

// begin writes the number of a replay, so that no other can have it.
func (s *Sender) begin(ctx context.Context, d *delivery, r *run) error {
	if r.Number == 0 {
		return nil
	}
	return s.write(ctx, d)
}

// message is an event as the run sends it.
func (r *run) message(e *store.Event, f Format) message {
	m := eventMessage(e, f)
	if r.Number > 0 {
		m.replay = strconv.Itoa(r.Number)
	}
	if r.newIDs {
		m.id += "-r" + m.replay
	}
	return m
}

// named yields the events with these IDs that the filter matches.
func (s *Sender) named(filter store.Filter, ids []store.ID) func() (store.Event, error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, store.ID.Compare)
	ids = slices.Compact(ids)
	return func() (store.Event, error) {
		if len(ids) == 0 {
			return store.Event{}, io.EOF
		}
		id := ids[0]
		ids = ids[1:]
		e, err := s.event(id)
		if err == nil && !filter.Match(e.Topic) {
			err = errGone
		}
		return e, err
	}
}

// passage is a part of the log.
type passage struct {
	s       *Sender
	filter  store.Filter
	start   replay.Start
	through store.ID
	reader  *replay.Reader
	page    replay.Page
}

// next yields its events. Those that retention deleted before they were read are not known one by one.
func (p *passage) next() (store.Event, error) {
	var err error
	if p.reader == nil {
		if p.reader, err = p.s.tail.NewReader(p.filter, p.start); err != nil {
			return store.Event{}, err
		}
	}
	for len(p.page.Events) == 0 {
		if !p.page.Through.Before(p.through) {
			return store.Event{}, io.EOF
		}
		if p.page, err = p.reader.Next(readEvents); err != nil {
			return store.Event{}, err
		}
		if gap := p.page.Gap; gap != nil && gap.Reason == replay.Corrupt {
			return store.Event{}, errGone
		}
	}
	e := p.page.Events[0]
	if p.through.Before(e.ID) {
		return store.Event{}, io.EOF
	}
	p.page.Events = p.page.Events[1:]
	return e, nil
}

func (p *passage) close() {
	if p.reader != nil {
		p.reader.Close()
	}
}
