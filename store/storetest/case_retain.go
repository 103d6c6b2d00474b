package storetest

import (
	"context"
	"errors"
	"testing"

	"tidings/store"
)

func retainCases() []Case {
	return []Case{
		{"retain/each topic by its own limits", retainEach},
		{"retain/by bytes", retainBytes},
		{"retain/many commits", retainMany},
		{"retain/closed", retainClosed},
	}
}

// retain retains and checks how many events went.
func (f *fixture) retain(flt store.Filter, limits func(topic string) store.Limits, want int) {
	f.t.Helper()
	n, err := f.Retain(context.Background(), flt, limits)
	if err != nil {
		f.t.Fatalf("retain of %q: %v", flt, err)
	}
	if n != want {
		f.t.Fatalf("retain of %q deleted %d events, want %d", flt, n, want)
	}
}

// retainEach gives each topic another kind of limit, and all of them, bit by bit tighter.
func retainEach(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(120, "a", "a", "b", "c", "d", "a", "e")...)
	model := modelOf(events)
	for i, round := range []struct {
		events uint64
		before store.ID
	}{
		{1000, store.ID{}}, {30, events[0].ID}, {29, events[7].ID}, {14, events[40].ID},
		{14, events[40].ID},
		{1, events[100].ID}, {3, store.MaxID},
	} {
		limits := func(topic string) store.Limits {
			switch topic {
			case "a", "b":
				return store.Limits{Events: round.events}
			case "c":
				return store.Limits{Before: round.before}
			case "d":
				return store.Limits{Events: round.events, Before: round.before}
			default:
				return store.Limits{}
			}
		}
		for _, flt := range []store.Filter{{}, filter(t, "nothing", "b", "d"), store.All(),
			store.All()} {
			want, err := model.Retain(t.Context(), flt, limits)
			if err != nil {
				t.Fatal(err)
			}
			f.retain(flt, limits, want)
			f.expectBooks(model)
			f.expect(store.All(), store.ID{}, model.events)
		}
		if i%2 == 0 {
			f.reopen()
			f.expectBooks(model)
		}
	}
}

// retainBytes: what stays fits, and what went last would not have fitted. The sizes are the
// engine's own.
func retainBytes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(400, "orders", "tickets", "orders")...)
	for _, percent := range []uint64{100, 95, 50, 10} {
		for _, topic := range []string{"orders", "tickets"} {
			before := f.topic(topic)
			limit := before.Bytes * percent / 100
			n, err := f.Retain(t.Context(), store.All(), func(of string) store.Limits {
				if of != topic {
					return store.Limits{}
				}
				return store.Limits{Bytes: limit}
			})
			if err != nil {
				t.Fatal(err)
			}
			after := f.topic(topic)
			if n != int(before.Count-after.Count) {
				t.Fatalf("retain returned %d, but deleted %d events", n, before.Count-after.Count)
			}
			record := (before.Bytes + before.Count - 1) / before.Count // all are about as large
			if after.Bytes > limit || after.Bytes+2*record < limit {
				t.Fatalf("%s: of %d bytes %d are left, with a limit of %d", topic, before.Bytes,
					after.Bytes, limit)
			}
		}
	}
}

// retainMany deletes more than any engine would in one commit, and spread over the log.
func retainMany(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	var events []store.Event
	for range 4 {
		events = append(events, f.append(drafts(1000, "a", "b", "c", "a")...)...)
	}
	f.retain(filter(t, "a", "c"), func(string) store.Limits {
		return store.Limits{Events: 100}
	}, 1900+900)
	f.expect(filter(t, "a"), store.ID{}, matching(events, filter(t, "a"), store.ID{})[1900:])
	f.expect(filter(t, "b"), store.ID{}, matching(events, filter(t, "b"), store.ID{}))
	f.expect(filter(t, "c"), store.ID{}, matching(events, filter(t, "c"), store.ID{})[900:])
}

func retainClosed(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(2, "a")...)
	f.close()
	_, err := f.Retain(t.Context(), store.All(), func(string) store.Limits {
		return store.Limits{Events: 1}
	})
	if !errors.Is(err, store.ErrClosed) {
		t.Fatalf("retain of a closed log: %v, want %v", err, store.ErrClosed)
	}
}
