package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tidings/store"
)

func lookupCases() []Case {
	return []Case{
		{"get/what is in the log and what is not", getAll},
		{"floor/of every position", floorAll},
		{"resolve/every position", resolveAll},
		{"resolve/an ID of another log", resolveForeign},
	}
}

// scattered appends with the clock running, so that the neighbours of most IDs are not IDs of events, and
// trims an early part, the middle of one topic, and the newest event.
func scattered(f *fixture, c *clock) (kept, gone []store.Event) {
	f.t.Helper()
	var events []store.Event
	for range 10 {
		c.advance(time.Second)
		events = append(events, f.append(drafts(2, "orders", "tickets")...)...)
	}
	last := f.append(drafts(1, "last")...)
	f.trim(store.All(), events[4].ID, 4)
	f.trim(filter(f.t, "orders"), events[12].ID, 4)
	f.trim(filter(f.t, "last"), store.MaxID, 1)
	for i, e := range events {
		if i < 4 || i < 12 && e.Topic == "orders" {
			gone = append(gone, e)
		} else {
			kept = append(kept, e)
		}
	}
	return kept, append(gone, last...)
}

func getAll(t testing.TB, open Factory) {
	c := newClock(noon)
	f := start(t, open, Options{Now: c.now})
	if _, err := f.Get(store.ID{}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("get of the zero ID from an empty log: %v; want ErrNotFound", err)
	}
	kept, gone := scattered(f, c)
	held := make(map[store.ID]store.Event)
	for _, e := range kept {
		held[e.ID] = e
	}
	for range 2 {
		for _, id := range append(positions(kept), positions(gone)...) {
			got, err := f.Get(id)
			want, ok := held[id]
			switch {
			case ok && err != nil:
				t.Fatalf("get of %s: %v", id, err)
			case ok:
				if d := difference([]store.Event{got}, []store.Event{want}); d != "" {
					t.Fatalf("get of %s: %s", id, d)
				}
			case !errors.Is(err, store.ErrNotFound):
				t.Fatalf("get of %s, which is not in the log, returned %v; want ErrNotFound", id,
					err)
			}
		}
		f.reopen()
	}
}

func floorAll(t testing.TB, open Factory) {
	c := newClock(noon)
	f := start(t, open, Options{Now: c.now})
	f.expectFloor(nil, store.ID{}, store.MaxID)
	kept, gone := scattered(f, c)
	f.expectFloor(kept, append(positions(kept), positions(gone)...)...)
	f.reopen()
	f.expectFloor(kept, append(positions(kept), positions(gone)...)...)
	f.trim(store.All(), store.MaxID, len(kept))
	f.expectFloor(nil, positions(kept)...)
}

func (f *fixture) expectFloor(events []store.Event, at ...store.ID) {
	f.t.Helper()
	for _, id := range at {
		var want store.ID
		for _, e := range events {
			if !id.Before(e.ID) {
				want = e.ID
			}
		}
		if got, err := f.Floor(id); err != nil || got != want {
			f.t.Fatalf("floor of %s is %s, %v; want %s", id, got, err, want)
		}
	}
}

func resolveAll(t testing.TB, open Factory) {
	c := newClock(noon)
	f := start(t, open, Options{Now: c.now})
	f.expectResolved(NewModel(Options{}), store.ID{}, store.MaxID)
	kept, gone := scattered(f, c)
	m := NewModel(Options{})
	m.Adopt(slices.SortedFunc(slices.Values(slices.Concat(kept, gone)), func(a, b store.Event) int {
		return a.ID.Compare(b.ID)
	})...)
	m.events = kept
	at := append(positions(kept), positions(gone)...)
	f.expectResolved(m, at...)
	f.reopen()
	f.expectResolved(m, at...)
	f.trim(store.All(), store.MaxID, len(kept))
	m.events = nil
	f.expectResolved(m, at...)
	f.reopen()
	f.expectResolved(m, at...)
}

// resolveForeign: an ID that another log has minted is not one of this log, whatever is trimmed.
func resolveForeign(t testing.TB, open Factory) {
	c := newClock(noon)
	f, other := start(t, open, Options{Now: c.now}), start(t, open, Options{Now: c.now})
	var foreign []store.ID
	var own []store.Event
	for range 10 {
		c.advance(time.Second)
		own = append(own, f.append(drafts(3, "orders")...)...)
		foreign = append(foreign, idsOf(other.append(drafts(3, "orders")...))...)
		c.advance(time.Second)
		own = append(own, f.append(drafts(3, "tickets")...)...)
	}
	for _, trimmed := range []int{0, 30, len(own)} {
		if trimmed > 0 {
			before, _ := own[trimmed-1].ID.Next()
			if _, err := f.Trim(t.Context(), store.All(), before); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			for _, id := range foreign {
				nearest, known, err := f.Resolve(id)
				if err != nil || known || !nearest.Before(id) {
					t.Fatalf("with %d events trimmed: %s of another log is known: %t, after %s (%v)",
						trimmed, id, known, nearest, err)
				}
			}
			f.reopen()
		}
	}
}

func (f *fixture) expectResolved(m *Model, at ...store.ID) {
	f.t.Helper()
	for _, id := range at {
		checkResolved(f.t, f.Log, m, id)
	}
}

// checkResolved compares with a model, which knows every event that ever existed. A log may take an ID for
// a trimmed event, but not if it is above all trimmed events.
func checkResolved(t TB, log store.Log, m *Model, id store.ID) {
	t.Helper()
	before, was, err := m.Resolve(id)
	if err != nil {
		t.Fatalf("model: %v", err)
	}
	nearest, known, err := log.Resolve(id)
	trimmed := log.Trimmed()
	switch {
	case err != nil:
		t.Fatalf("resolve %s: %v", id, err)
	case was && !known:
		t.Fatalf("resolve %s: an event of the log is unknown", id)
	case known && !was && !id.Before(trimmed):
		t.Fatalf("resolve %s: known, though no event, and above all that was trimmed: %s", id,
			trimmed)
	}
	if _, isEvent, _ := m.Resolve(nearest); !isEvent || before.Before(nearest) {
		t.Fatalf("resolve %s: after %s, which is no event at or below it", id, nearest)
	}
	for _, e := range m.events {
		if nearest.Before(e.ID) && !id.Before(e.ID) {
			t.Fatalf("resolve %s: after %s, which is before event %s", id, nearest, e.ID)
		}
	}
}
