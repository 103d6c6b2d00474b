package bolt

import (
	"sync"

	"tidings/store"
)

// reader is the store.Reader of Log. It reads in one of two ways, whichever costs less for its filter and for
// the part of the log that it is at:
//
//   - It scans the log and takes what matches. That suits a filter of everything, topics that are dense here, and
//     so many busy topics that planning would walk more than scanning. A reader begins this way: there may be
//     little left to read.
//   - It plans (plan.go): it walks the chains of the matching topics and keeps the IDs that come next. The cost
//     follows the events that match.
type reader struct {
	l       *Log
	from    selection
	all     bool // the filter matches all topics, except reserved ones that the log does not have
	arena   arena
	memory  *pageMemory // of the last page, if it may be released
	release bool        // pages may be released
	pos     store.ID
	idsOnly bool  // only IDs are wanted, and rows
	rows    []row // of the events in the page, with idsOnly
	taken   int   // bytes of data in the page being filled
	found   int   // events in the last page: a guess at the next one

	plan    []store.ID // the next events, oldest first
	planned int        // IDs that the last plan was made for
	through store.ID   // every matching event up to here is in plan, or was found trimmed
	stride  int        // records worth scanning for one match; 0: plan
	scanTo  store.ID   // up to here a chain is broken, and only a scan finds everything
}

// row is what else a page of IDs holds about an event.
type row struct {
	topic *topic
	size  uint64 // of the record
}

// NewReader implements store.Log.
func (l *Log) NewReader(f store.Filter, after store.ID) store.Reader {
	return &reader{l: l, from: selection{filter: f}, all: f.IsAll(), pos: after, through: after,
		stride: stepsPerSeek}
}

const (
	// scanStep bounds the records that one scan examines, and thereby how long its transaction stays open.
	scanStep = 16 << 10

	// scanGrace is how many matches a scan is given before it judges whether it finds enough.
	scanGrace = 16

	// stepsPerSeek is how many records can be scanned in the time one seek takes.
	stepsPerSeek = 4
)

// Next implements store.Reader. If a scan finds nothing and gives up, it plans.
func (r *reader) Next(max int) (store.Page, error) {
	page, err := r.next(max)
	if err != nil || len(page.Events) > 0 || !page.Corrupt.IsZero() || r.scanning() {
		return page, err
	}
	trimmed := page.Trimmed
	page, err = r.next(max)
	page.Trimmed = store.Later(page.Trimmed, trimmed)
	return page, err
}

func (r *reader) next(max int) (store.Page, error) {
	page := store.Page{Through: r.pos}
	r.seeReserved()
	r.rows, r.memory = r.rows[:0], nil
	if !r.pos.Before(r.l.Head()) {
		return page, r.l.closed()
	}
	read := func(s *snapshot) error {
		page.Trimmed = s.trimmed
		if r.scanning() {
			r.scan(s, &page, max)
		} else {
			r.fetch(s, &page, max)
		}
		return nil
	}
	var err error
	switch {
	case r.all:
		err = r.l.snapshotAll(r.pos, read)
	case r.scanning() || len(r.plan) > 0:
		err = r.l.snapshot(r.from, r.pos, read)
	default:
		s := r.l.begin(r.from, r.pos)
		r.l.list(s)
		if err = r.makePlan(s, max); err == nil {
			err = r.l.open(s, func() error { return read(s) })
		}
	}
	if err != nil {
		return store.Page{}, err
	}
	r.pos, r.found = page.Through, len(page.Events)
	// there may be a reader for each subscriber: between calls it holds little
	if r.memory != nil {
		*r.memory = pageMemory{page.Events, r.arena.chunk}
	}
	r.arena.chunk = nil
	return page, nil
}

// seeReserved stops treating the filter as one of all topics once there are reserved ones, which it must not
// see: the log's trimmed mark is then not the filter's.
func (r *reader) seeReserved() {
	if r.all && !r.from.filter.IsEverything() && r.l.index.reserved.Load() {
		r.all = false
	}
}

// pageMemory is the memory of a page's events.
type pageMemory struct {
	events []store.Event
	chunk  []byte // of the arena
}

// released is memory of pages no longer in use.
var released = sync.Pool{New: func() any { return new(pageMemory) }}

// Release implements store.Reader. A page read before the first call has memory of exactly its own size,
// which is not worth keeping.
func (r *reader) Release() {
	if r.memory != nil {
		clear(r.memory.events)
		released.Put(r.memory)
	}
	r.memory, r.release = nil, true
}

// begin returns the slice for a page's events.
func (r *reader) begin(most int) []store.Event {
	r.taken = 0
	if !r.release || r.idsOnly {
		return make([]store.Event, 0, min(most, r.found+1))
	}
	r.memory = released.Get().(*pageMemory)
	r.arena.chunk = r.memory.chunk[:0]
	return r.memory.events[:0]
}

func (r *reader) scanning() bool {
	return r.all || r.pos.Before(r.scanTo) || len(r.plan) == 0 && r.stride > 0
}

// take adds the record under id to the page; false if the page has no room.
func (r *reader) take(s *snapshot, page *store.Page, id store.ID, rec record, max int) bool {
	n := len(page.Events)
	if n == max || n > 0 && r.taken+len(rec.data) > store.MaxPageBytes && !r.idsOnly {
		return false
	}
	if n == 0 {
		page.Events = r.begin(max)
	}
	e := store.Event{ID: id}
	if r.idsOnly {
		r.rows = append(r.rows, row{s.topics[rec.topic], rec.size()})
	} else {
		e = r.arena.event(id, s.topics[rec.topic].name, rec)
	}
	page.Events = append(page.Events, e)
	page.Through = id
	r.taken += len(rec.data)
	return true
}

// decode checks the record, and that its topic is known.
func (s *snapshot) decode(key, value []byte) (record, bool) {
	rec, ok := decodeRecord(key, value)
	return rec, ok && int(rec.topic) < len(s.topics)
}

// fetch reads the planned events.
func (r *reader) fetch(s *snapshot, page *store.Page, max int) {
	f := forward{at: s.at}
	r.takePlanned(s, &f, page, max)
	if r.stride == 0 && f.near >= scanGrace && f.near >= len(page.Events)/2 {
		r.stride = stepsPerSeek // at this density a scan finds them sooner
	}
}

func (r *reader) takePlanned(s *snapshot, f *forward, page *store.Page, max int) {
	for ; len(r.plan) > 0; r.plan = r.plan[1:] {
		id := r.plan[0]
		value := f.get(id)
		if value == nil && !s.trimmed.Before(id) {
			continue // trimmed since it was planned, as page.Trimmed says
		}
		rec, ok := s.decode(id[:], value)
		if !ok {
			page.Corrupt, page.Through = id, id
			r.plan = r.plan[1:]
			return
		}
		if !r.take(s, page, id, rec, max) {
			return
		}
	}
	r.plan, page.Through = nil, r.through
	if !r.through.Before(s.head) {
		r.stride = stepsPerSeek // the next events may be of another kind
	}
}

// scan reads the log in its own order.
func (r *reader) scan(s *snapshot, page *store.Page, max int) {
	low, ok := r.pos.Next()
	if !ok {
		return
	}
	c := s.records.Cursor()
	seen := 0
	var last *topic   // neighbours often share a topic
	var gone store.ID // its trimmed mark
	matches := false
	for k, v := c.Seek(low[:]); k != nil; k, v = c.Next() {
		id := store.ID(k)
		if s.head.Before(id) {
			break
		}
		rec, ok := s.decode(k, v)
		if !ok {
			page.Corrupt, page.Through = id, id
			return
		}
		seen++
		if t := s.topics[rec.topic]; t != last {
			last, matches, gone = t, r.all && !store.IsReserved(t.name) || r.from.has(t), store.ID{}
			if matches {
				gone = r.l.trimmedOf(t, id)
			}
		}
		if !gone.Before(id) {
			if page.Through = id; page.Trimmed.Before(gone) {
				page.Trimmed = gone
			}
			continue
		}
		if matches && !r.take(s, page, id, rec, max) {
			return
		}
		page.Through = id
		if seen == scanStep && !r.all || r.tooSparse(seen, len(page.Events), id) {
			return
		}
	}
	page.Through = s.head
	r.stride = stepsPerSeek // caught up: the next events may be of another kind
}

// tooSparse reports, and remembers, that planning is cheaper from here on.
func (r *reader) tooSparse(seen, found int, at store.ID) bool {
	if r.all || at.Before(r.scanTo) || seen < scanGrace*r.stride || seen <= r.stride*found {
		return false
	}
	r.stride = 0
	return true
}

// Count implements store.Log.
func (l *Log) Count(f store.Filter, after store.ID, max int) (n int, err error) {
	r := l.NewReader(f, after).(*reader)
	r.idsOnly = true
	for n < max {
		page, err := r.Next(max - n)
		if err != nil {
			return 0, err
		}
		n += len(page.Events)
		if !page.Through.Before(l.Head()) {
			break
		}
	}
	return n, nil
}
