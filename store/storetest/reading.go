package storetest

import (
	"tidings/store"
)

// TB is what a check needs of a test; *testing.T, *testing.B and *rapid.T implement it.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// reading is a reader whose every page is checked against the contract.
type reading struct {
	t        TB
	log      store.Log
	filter   store.Filter
	reader   store.Reader
	position store.ID
}

func read(t TB, log store.Log, f store.Filter, after store.ID) *reading {
	return &reading{t: t, log: log, filter: f, reader: log.NewReader(f, after), position: after}
}

// next reads a page and checks what must be true of any page of any log.
func (r *reading) next(limit int) store.Page {
	r.t.Helper()
	page, err := r.reader.Next(limit)
	if err != nil {
		r.t.Fatalf("reading %q after %s: %v", r.filter, r.position, err)
	}
	head := r.log.Head() // after the read: the head only rises
	last, size := r.position, 0
	for i, e := range page.Events {
		size += len(e.Data)
		switch {
		case e.ID == last:
			r.t.Fatalf("event %s returned twice", e.ID)
		case e.ID.Before(last) && i == 0:
			r.t.Fatalf("event %s returned to a reader that is at %s", e.ID, last)
		case e.ID.Before(last):
			r.t.Fatalf("events out of order: %s after %s", e.ID, last)
		case head.Before(e.ID):
			r.t.Fatalf("event above the head: %s, the head is %s", e.ID, head)
		case !r.filter.Match(e.Topic):
			r.t.Fatalf("event of topic %q returned to a reader of %q", e.Topic, r.filter)
		}
		last = e.ID
	}
	switch {
	case len(page.Events) > limit:
		r.t.Fatalf("page of %d events, asked for at most %d", len(page.Events), limit)
	case size > store.MaxPageBytes && len(page.Events) > 1:
		r.t.Fatalf("page of %d events has %d bytes of data, the bound is %d", len(page.Events),
			size, store.MaxPageBytes)
	case page.Through.Before(r.position):
		r.t.Fatalf("through went back from %s to %s", r.position, page.Through)
	case page.Through.Before(last):
		r.t.Fatalf("through is %s, below the page's last event %s", page.Through, last)
	case store.Later(r.position, head).Before(page.Through):
		r.t.Fatalf("through above the head: %s, the head is %s, the position was %s", page.Through,
			head, r.position)
	case page.Through == r.position && r.position.Before(head) && page.Corrupt.IsZero():
		r.t.Fatalf("reader makes no progress: through stays at %s, the head is %s",
			page.Through, head)
	case !page.Trimmed.IsZero() && !r.position.Before(page.Trimmed):
		r.t.Fatalf("page reports %s as trimmed, which is not above its position %s",
			page.Trimmed, r.position)
	case r.log.Trimmed().Before(page.Trimmed):
		r.t.Fatalf("page reports %s as trimmed, the log nothing above %s", page.Trimmed,
			r.log.Trimmed())
	case !page.Corrupt.IsZero():
		r.t.Fatalf("record %s is corrupt", page.Corrupt)
	}
	r.position = page.Through
	return page
}

// drain reads until there is nothing more, in pages of at most limit events.
func (r *reading) drain(limit int) []store.Event {
	r.t.Helper()
	var events []store.Event
	for {
		page := r.next(limit)
		events = append(events, page.Events...)
		if len(page.Events) == 0 && !page.Through.Before(r.log.Head()) {
			return events
		}
	}
}

// take reads until it has n events.
func (r *reading) take(n int) []store.Event {
	r.t.Helper()
	var events []store.Event
	for len(events) < n {
		page := r.next(n - len(events))
		events = append(events, page.Events...)
		if len(page.Events) == 0 && !page.Through.Before(r.log.Head()) {
			r.t.Fatalf("reader of %q is at the head after %d events, want %d", r.filter,
				len(events), n)
		}
	}
	return events
}

// expect drains the reader and compares.
func (r *reading) expect(limit int, want []store.Event) {
	r.t.Helper()
	from := r.position
	if d := difference(r.drain(limit), want); d != "" {
		r.t.Fatalf("reader of %q after %s, %d at a time: %s", r.filter, from, limit, d)
	}
}

// expectTrimmed reads one page and compares its Trimmed.
func (r *reading) expectTrimmed(what string, want store.ID) {
	r.t.Helper()
	from := r.position
	switch got := r.next(pageSize).Trimmed; {
	case got == want:
	case got.IsZero():
		r.t.Fatalf("%s: trimmed mark lost: reader of %q after %s reports no loss, want %s", what,
			r.filter, from, want)
	case want.IsZero():
		r.t.Fatalf("%s: reader of %q after %s reports %s as trimmed, but lost nothing it asked for",
			what, r.filter, from, got)
	default:
		r.t.Fatalf("%s: reader of %q after %s reports %s as trimmed, want %s", what, r.filter,
			from, got, want)
	}
}

// pageSize is the limit of reads that are not about limits.
const pageSize = 1000
