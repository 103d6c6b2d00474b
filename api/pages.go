package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tidings/internal/wire"
	"tidings/replay"
	"tidings/store"
)

const (
	defaultPageEvents = 100
	maxPageEvents     = 1000
	maxPageBytes      = 4 << 20 // of data and attributes; a page always has at least one event, if there is any
	maxPageWait       = 60 * time.Second
)

// pageQuery is the query of a page.
type pageQuery struct {
	subscription
	limit  int
	wait   time.Duration
	before *store.ID // read backwards from here instead
	newest bool      // no start was given: the newest events
	share  *share    // of the memory for responses
}

// page is a stretch of the log for a client that does not hold a stream.
type page struct {
	events   []store.Event
	gap      *replay.Gap
	next     store.ID // the cursor to continue with, here or on a stream
	caughtUp bool
	prev     *store.ID // to continue backwards from; nil at the start of the log
}

// pages serves GET /v1/events and GET /v1/topics/{topic}/events.
func (s *Server) pages(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	asked, p := s.parsePage(r, query)
	if p != nil {
		return p
	}
	if !accepts(r, "application/json") && !accepts(r, mediaNDJSON...) {
		return &problem{code: "not-acceptable", field: "Accept",
			detail: "a page is application/json or " + mediaNDJSON[0]}
	}
	if end := s.tokenEnd(grantOf(r)); !end.IsZero() {
		asked.wait = min(asked.wait, time.Until(end))
	}
	from := asked.start.Cursor()
	if asked.before != nil {
		from = *asked.before
	}
	if p := s.reach(r.Context(), from); p != nil {
		return p
	}
	asked.share = &visitOf(r).answer
	found, err := s.readPage(r.Context(), asked)
	if errors.Is(err, errNoRoom) {
		return memoryFull()
	}
	if err != nil {
		return storeProblem(err)
	}
	if found.gap != nil {
		s.metrics.gap(found.gap)
	}
	pack(w, r)
	w.Header().Set("Tidings-Who", s.who(grantOf(r)))
	writePage(w, r, found, asked.share)
	return nil
}

func (s *Server) parsePage(r *http.Request, query url.Values) (q pageQuery, p *problem) {
	if q.filter, p = s.parseFilter(r, query["topic"]); p != nil {
		return q, p
	}
	if q.start, p = s.parseStart(r, query); p != nil {
		return q, p
	}
	q.limit = defaultPageEvents
	if n, err := strconv.Atoi(query.Get("last")); err == nil && q.start == replay.Last(n) {
		q.limit = min(max(n, q.limit), maxPageEvents) // otherwise the page would have the oldest of these
	}
	if v := query.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxPageEvents {
			return q, &problem{code: "query-invalid", field: "limit",
				detail: fmt.Sprintf("expected 1 to %d, got %.64q", maxPageEvents, v)}
		}
		q.limit = n
	}
	if v := query.Get("wait"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 || d > maxPageWait {
			return q, &problem{code: "query-invalid", field: "wait", detail: fmt.Sprintf(
				"expected a duration of at most %v such as 30s, got %.64q", maxPageWait, v)}
		}
		q.wait = d
	}
	q.newest = q.start == replay.Latest() && query.Get("since") == "" && query.Get("last") == ""
	if v := query.Get("before"); v != "" {
		id, err := store.ParseID(v)
		if err != nil {
			return q, &problem{code: "query-invalid", field: "before", detail: err.Error()}
		}
		if !q.newest {
			return q, &problem{code: "query-invalid", field: "before",
				detail: "before cannot be combined with another start"}
		}
		q.before = &id
	}
	return q, nil
}

func (s *Server) readPage(ctx context.Context, q pageQuery) (page, error) {
	if q.before != nil || q.newest {
		before := store.MaxID
		if q.before != nil {
			before = *q.before
		}
		return s.readBack(q, before)
	}
	// Registered for wake-ups before the first look, like a stream.
	reader, err := s.tail.NewReader(q.filter, q.start)
	if err != nil {
		return page{}, err
	}
	defer reader.Close()
	wait, cancel := context.WithTimeout(ctx, q.wait)
	defer cancel()
	for {
		over := wait.Err() != nil || s.draining()
		found, err := s.readOn(reader, q.limit, q.share)
		if err != nil || len(found.events) > 0 || found.gap != nil || over {
			return found, err
		}
		select {
		case <-reader.Ready():
		case <-wait.Done(): // check once more, so that the cursor advances
		case <-s.drain:
		}
	}
}

// readOn reads from where reader is: at most limit events and maxPageBytes. A gap comes first in its page: one that
// turns up later ends the page before it, and the next page reports it. The page also ends early when there is no
// memory for more of it.
func (s *Server) readOn(reader *replay.Reader, limit int, memory *share) (page, error) {
	found := page{next: reader.OpenID()}
	size := 0
	for {
		part, err := reader.Next(limit - len(found.events))
		if err != nil {
			return page{}, err
		}
		if part.Gap != nil {
			if len(found.events) > 0 || found.gap != nil {
				return found, nil
			}
			found.gap = part.Gap
		}
		for i := range part.Events {
			size += part.Events[i].Size()
			if size > maxPageBytes && len(found.events) > 0 {
				return found, nil
			}
			if !memory.set(pageWeight(size, len(found.events)+1)) {
				if len(found.events) > 0 {
					return found, nil
				}
				return page{}, errNoRoom
			}
			found.events = append(found.events, part.Events[i])
			found.next = part.Events[i].ID
		}
		if len(found.events) == limit {
			found.caughtUp = !found.next.Before(s.log.Head())
			return found, nil
		}
		if part.Gap == nil && len(part.Events) == 0 && !part.Through.Before(s.log.Head()) {
			found.next, found.caughtUp = part.Through, true
			return found, nil
		}
	}
}

// readBack reads the newest matching events below an ID, in log order.
func (s *Server) readBack(q pageQuery, before store.ID) (found page, err error) {
	head := s.log.Head() // first: an event published meanwhile is after next
	back, err := replay.Back(s.log, q.filter, before, q.limit, maxPageBytes)
	if err != nil {
		return page{}, err
	}
	size := 0
	for i := range back.Events {
		size += back.Events[i].Size()
	}
	if !q.share.set(pageWeight(size, len(back.Events))) {
		return page{}, errNoRoom
	}
	found.events, found.gap = back.Events, back.Gap
	if !back.Older.IsZero() {
		found.prev = &back.Older
	}
	n := len(found.events)
	switch {
	case q.before == nil:
		found.caughtUp, found.next = true, head
		if n > 0 && head.Before(found.events[n-1].ID) {
			found.next = found.events[n-1].ID
		}
	case n > 0:
		found.next = found.events[n-1].ID
	case found.gap != nil:
		found.next = found.gap.Through
	}
	return found, nil
}

// eventBytes is the memory of an event besides its data and attributes.
const eventBytes = 256

// pageWeight returns the memory of a page of n events of this total size, while it is written in pieces.
func pageWeight(size, n int) int64 { return int64(size) + int64(n)*eventBytes + pieceBytes }

// writePage answers in the form that the client prefers, one event at a time, and gives back the memory of the events
// as it goes.
func writePage(w http.ResponseWriter, r *http.Request, p page, memory *share) {
	lines := accepts(r, mediaNDJSON...) && !accepts(r, "application/json")
	between, tail := []byte(","), []byte("]")
	if lines {
		writeLinesHeader(w.Header(), p)
		between, tail = []byte("\n"), nil
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	out := wire.NewBodyWriter(w)
	if !lines {
		out.Raw([]byte(`{"events":[`))
		tail = append(tail, pageTail(p)...)
	}
	held := memory.held
	for i := range p.events {
		if i > 0 {
			out.Raw(between)
		}
		out.Event(&p.events[i])
		held -= int64(p.events[i].Size())
		p.events[i] = store.Event{}
		if memory.held-held > pieceBytes {
			memory.set(held) // there is always room to shrink
		}
	}
	if lines && len(p.events) > 0 {
		out.Raw(between)
	}
	out.Raw(tail)
	_ = out.Close() // fails only when the client is gone
}

// pageTail returns what follows the events of a page.
func pageTail(p page) []byte {
	gap := json.RawMessage("null")
	if p.gap != nil {
		gap = gapJSON(p.gap)
	}
	text := wire.Marshal(struct {
		Next     store.ID        `json:"next"`
		Prev     *store.ID       `json:"prev,omitempty"`
		Gap      json.RawMessage `json:"gap"`
		CaughtUp bool            `json:"caught_up"`
	}{p.next, p.prev, gap, p.caughtUp})
	text[0] = ','
	return append(text, '\n')
}

// writeLinesHeader puts what a page of lines has no other place for into headers.
func writeLinesHeader(h http.Header, p page) {
	h.Set("Content-Type", mediaNDJSON[0])
	h.Set("Tidings-Next", p.next.String())
	h.Set("Tidings-Caught-Up", strconv.FormatBool(p.caughtUp))
	if p.prev != nil {
		h.Set("Tidings-Prev", p.prev.String())
	}
	if p.gap != nil {
		h.Set("Tidings-Gap", string(wire.ASCII(gapJSON(p.gap))))
	}
}
