package storetest

import (
	"errors"
	"testing"
	"time"

	"tidings/store"
)

func lookupCases() []Case {
	return []Case{
		{"get/what is in the log and what is not", getAll},
		{"floor/of every position", floorAll},
	}
}

// scattered appends with the clock running, so that the neighbours of most IDs are no IDs, and
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
