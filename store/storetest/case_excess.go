package storetest

import (
	"testing"

	"tidings/store"
)

func excessCases() []Case {
	return []Case{
		{"excess/by count", excessByCount},
		{"excess/by bytes", excessByBytes},
	}
}

func (f *fixture) excess(flt store.Filter, events, bytes uint64) store.ID {
	f.t.Helper()
	id, err := f.Excess(flt, events, bytes)
	if err != nil {
		f.t.Fatalf("excess of %v over %d events and %d bytes: %v", flt, events, bytes, err)
	}
	return id
}

func (f *fixture) expectExcess(kept []store.Event) {
	f.t.Helper()
	for _, patterns := range [][]string{{">"}, {"orders"}, {"tickets.*"}, {"orders", "tickets.us"},
		{"nothing"}, {}} {
		flt := filter(f.t, patterns...)
		held := matching(kept, flt, store.ID{})
		for n := range len(kept) + 2 {
			want := store.ID{}
			if n > 0 && n < len(held) {
				want = held[len(held)-n-1].ID
			}
			if got := f.excess(flt, uint64(n), 0); got != want {
				f.t.Fatalf("of %v more than %d are too many up to %s, want %s",
					patterns, n, got, want)
			}
		}
	}
}

func excessByCount(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.expectExcess(nil)
	events := f.append(drafts(20, "orders", "tickets.eu", "tickets.us", "orders")...)
	f.expectExcess(events)
	f.trim(filter(t, "orders"), events[8].ID, 4)
	f.trim(filter(t, "tickets.us"), store.MaxID, 5)
	var kept []store.Event
	for i, e := range events {
		if e.Topic == "tickets.eu" || e.Topic == "orders" && i >= 8 {
			kept = append(kept, e)
		}
	}
	f.expectExcess(kept)
	f.reopen()
	f.expectExcess(kept)
}

// excessByBytes trims up to what is too much, which is still too much by one event, and then that
// one. The sizes are the engine's own.
func excessByBytes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(400, "orders", "tickets", "orders")...)
	for _, percent := range []uint64{95, 90, 50, 25} {
		for _, topic := range []string{"orders", "tickets"} {
			flt, before := filter(t, topic), f.topic(topic)
			limit := before.Bytes * percent / 100
			id := f.excess(flt, 0, limit)
			next, _ := id.Next()
			for i, cut := range []store.ID{id, next} {
				if _, err := f.Trim(t.Context(), flt, cut); err != nil {
					t.Fatal(err)
				}
				if left := f.topic(topic).Bytes; (left <= limit) != (i == 1) {
					t.Fatalf("%s: %d bytes are left of %d, with a limit of %d, before %s", topic,
						left, before.Bytes, limit, cut)
				}
			}
			// With both limits the stricter one counts.
			few := f.topic(topic).Count / 2
			if got, want := f.excess(flt, few, limit), f.excess(flt, few, 0); got != want ||
				got.IsZero() {
				t.Fatalf("%s: excess over %d events and many bytes is %s, want %s", topic,
					few, got, want)
			}
		}
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if id := f.excess(store.All(), 0, info.Bytes); !id.IsZero() {
			t.Fatalf("nothing is too much, but %s is", id)
		}
		if id := f.excess(store.All(), 0, info.Bytes-1); id != info.First {
			t.Fatalf("one byte too much is %s, want the first event, %s", id, info.First)
		}
	}
}
