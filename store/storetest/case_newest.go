package storetest

import (
	"math"
	"testing"

	"tidings/store"
)

func newestCases() []Case {
	return []Case{
		{"newest/of every filter, size and place", newestAll},
		{"newest/after a trim", newestTrimmed},
		{"newest/without any event", newestNone},
		{"newest/of so many bytes", newestBytes},
	}
}

func (f *fixture) expectNewest(events []store.Event) {
	f.t.Helper()
	for _, patterns := range [][]string{{">"}, {"orders"}, {"tickets.*"}, {"orders", "tickets.us"},
		{"nothing"}, {}} {
		flt := filter(f.t, patterns...)
		for _, before := range positions(events) {
			for _, n := range []int{0, 1, 2, 5, len(events), 1 << 30} {
				checkNewest(f.t, f, events, flt, before, n)
			}
		}
	}
}

func newestAll(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(12, "orders", "tickets.eu", "tickets.us", "orders")...)
	f.expectNewest(events)
	f.reopen()
	f.expectNewest(events)
}

func newestTrimmed(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(20, "orders", "tickets.eu", "tickets.us", "orders")...)
	f.trim(filter(t, "orders"), events[8].ID, 4)
	f.trim(filter(t, "tickets.us"), store.MaxID, 5)
	var kept []store.Event
	for i, e := range events {
		if e.Topic == "tickets.eu" || e.Topic == "orders" && i >= 8 {
			kept = append(kept, e)
		}
	}
	f.expectNewest(kept)
	f.reopen()
	f.expectNewest(kept)
}

// newestNone: without any event the position must not be ahead of the log, or its reader would miss new
// events.
func newestNone(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.expectNewest(nil)
	f.append(drafts(3, "other")...)
	gone := f.append(drafts(3, "orders")...)
	f.trim(filter(t, "orders"), store.MaxID, 3)
	for _, n := range []int{0, 1, 5} {
		position, err := f.Newest(filter(t, "orders"), store.MaxID, n, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		checkNewest(t, f, nil, filter(t, "orders"), gone[1].ID, n)
		f.expect(filter(t, "orders"), position, nil)
	}
	position, err := f.Newest(filter(t, "orders"), store.MaxID, 5, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	f.expect(filter(t, "orders"), position, f.append(drafts(2, "orders")...))
}

func newestBytes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	const size, events = 10_000, 12
	some := drafts(3*events, "orders", "tickets.eu", "tickets.us")
	for i := range some {
		some[i].Data = make([]byte, size)
	}
	f.append(some...)
	for _, patterns := range [][]string{{">"}, {"orders"}, {"tickets.*"}} {
		flt := filter(t, patterns...)
		for maxBytes, want := range map[int]int{0: 1, size / 2: 1, 3*size + size/2: 4,
			math.MaxInt: events} {
			position, err := f.Newest(flt, store.MaxID, events, maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := f.Count(flt, position, 3*events); err != nil || got != want {
				t.Errorf("newest %d bytes of %q: %d events of %d bytes (%v), want %d", maxBytes, flt,
					got, size, err, want)
			}
		}
	}
}
