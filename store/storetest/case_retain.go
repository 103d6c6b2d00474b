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
		{"retain/the whole log by count", retainWholeByCount},
		{"retain/the whole log by bytes", retainWholeByBytes},
		{"retain/the whole log by age", retainWholeByAge},
		{"retain/many commits", retainMany},
		{"retain/what is kept from it", retainKept},
		{"retain/closed", retainClosed},
	}
}

// retain retains and checks how many events were deleted.
func (f *fixture) retain(keep store.Retention, want int) {
	f.t.Helper()
	n, err := f.Retain(context.Background(), keep)
	if err != nil {
		f.t.Fatalf("retain of %q: %v", keep.Topics, err)
	}
	if n != want {
		f.t.Fatalf("retain of %q deleted %d events, want %d", keep.Topics, n, want)
	}
}

// retainWhole applies only limits of the whole log, beyond which the first tooMany of held are.
func (f *fixture) retainWhole(limits store.Limits, held []store.Event,
	tooMany int) (left []store.Event) {
	f.t.Helper()
	var oldest, newest store.ID
	n, err := f.Retain(context.Background(), store.Retention{Whole: limits,
		Deleted: func(from, to store.ID) {
			if oldest.IsZero() {
				oldest = from
			}
			newest = to
		}})
	if tooMany > 0 && (oldest != held[0].ID || newest != held[tooMany-1].ID) ||
		tooMany == 0 && !oldest.IsZero() {
		f.t.Fatalf("retain by %+v says that it deleted %s to %s", limits, oldest, newest)
	}
	if err != nil || n != tooMany {
		f.t.Fatalf("retain by %+v of the whole log deleted %d events of %d, %v, want %d", limits, n,
			len(held), err, tooMany)
	}
	f.expect(store.All(), store.ID{}, held[tooMany:])
	return held[tooMany:]
}

func ofTopics(flt store.Filter, limits func(topic string) store.Limits) store.Retention {
	return store.Retention{Topics: flt, OfTopic: limits}
}

// retainEach gives each topic a different kind of limit, and tightens all of them step by step.
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
			keep := ofTopics(flt, limits)
			if i > 2 && !flt.IsZero() { // applied to what the topics leave
				keep.Whole.Events = 60 - 5*uint64(i)
			}
			want, err := model.Retain(t.Context(), keep)
			if err != nil {
				t.Fatal(err)
			}
			f.retain(keep, want)
			f.expectBooks(model)
			f.expect(store.All(), store.ID{}, model.events)
		}
		if i%2 == 0 {
			f.reopen()
			f.expectBooks(model)
		}
	}
}

// retainBytes: what stays fits, and with the last deleted event it would not have fitted. The sizes are
// the engine's own.
func retainBytes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(400, "orders", "tickets", "orders")...)
	for _, percent := range []uint64{100, 95, 50, 10} {
		for _, topic := range []string{"orders", "tickets"} {
			before := f.topic(topic)
			limit := before.Bytes * percent / 100
			n, err := f.Retain(t.Context(), ofTopics(store.All(), func(of string) store.Limits {
				if of != topic {
					return store.Limits{}
				}
				return store.Limits{Bytes: limit}
			}))
			if err != nil {
				t.Fatal(err)
			}
			after := f.topic(topic)
			if n != int(before.Count-after.Count) {
				t.Fatalf("retain returned %d, but deleted %d events", n, before.Count-after.Count)
			}
			record := (before.Bytes + before.Count - 1) / before.Count // all have about the same size
			if after.Bytes > limit || after.Bytes+2*record < limit {
				t.Fatalf("%s: of %d bytes %d are left, with a limit of %d", topic, before.Bytes,
					after.Bytes, limit)
			}
		}
	}
}

// retainWholeByCount keeps fewer and fewer events of a log that was trimmed in several places.
func retainWholeByCount(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.retainWhole(store.Limits{Events: 1}, nil, 0)
	events := f.append(drafts(20, "orders", "tickets.eu", "tickets.us", "orders")...)
	for n := range uint64(5) {
		f.retainWhole(store.Limits{Events: 20 + n}, events, 0)
	}
	model := modelOf(events)
	for _, trim := range []struct {
		topic  string
		before store.ID
		goes   int
	}{{"orders", events[8].ID, 4}, {"tickets.us", store.MaxID, 5}} {
		f.trim(filter(t, trim.topic), trim.before, trim.goes)
		if _, err := model.Trim(t.Context(), filter(t, trim.topic), trim.before); err != nil {
			t.Fatal(err)
		}
	}
	kept := f.retainWhole(store.Limits{}, model.events, 0)
	for n := uint64(len(kept)); n > 0; n-- {
		kept = f.retainWhole(store.Limits{Events: n}, kept, len(kept)-int(n))
		if _, err := model.Retain(t.Context(),
			store.Retention{Whole: store.Limits{Events: n}}); err != nil {
			t.Fatal(err)
		}
		f.expectBooks(model)
		if n%4 == 0 {
			f.reopen()
			f.expectBooks(model)
		}
	}
}

// retainWholeByBytes deletes exactly what does not fit, by the recorded size of each event, which is the
// engine's own. With a limit of events as well, the stricter one counts.
func retainWholeByBytes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	bytes := func() uint64 {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		return info.Bytes
	}
	var held []store.Event
	var sizes []uint64
	for i, d := range drafts(200, "orders", "tickets", "orders") {
		d.Data = append(d.Data, make([]byte, i%7*10)...)
		before := bytes()
		held = append(held, f.append(d)...)
		sizes = append(sizes, bytes()-before)
	}
	keep := func(limits store.Limits) {
		t.Helper()
		stays, size := 0, uint64(0)
		for i := len(held) - 1; i >= 0; i-- {
			size += sizes[len(sizes)-len(held)+i]
			if size > limits.Bytes || limits.Events > 0 && uint64(stays) == limits.Events {
				break
			}
			stays++
		}
		held = f.retainWhole(limits, held, len(held)-stays)
	}
	for _, percent := range []uint64{95, 90, 50, 25} {
		all := bytes()
		keep(store.Limits{Bytes: all})
		keep(store.Limits{Bytes: all - 1}) // the first goes
		keep(store.Limits{Bytes: bytes() * percent / 100})
		few := uint64(len(held)) - 2
		keep(store.Limits{Events: few, Bytes: bytes()})
		keep(store.Limits{Events: few, Bytes: bytes() / 10 * 9})
	}
}

// retainWholeByAge deletes what lies before an ID, alone and with the other limits.
func retainWholeByAge(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	held := f.append(drafts(60, "a", "b", "a")...)
	held = f.retainWhole(store.Limits{Before: held[0].ID}, held, 0)
	held = f.retainWhole(store.Limits{Before: held[10].ID}, held, 10)
	held = f.retainWhole(store.Limits{Before: held[0].ID.Prev()}, held, 0)
	next, _ := held[0].ID.Next()
	held = f.retainWhole(store.Limits{Before: next, Events: 1000}, held, 1)
	held = f.retainWhole(store.Limits{Before: held[5].ID, Events: uint64(len(held)) - 7}, held, 7)
	held = f.retainWhole(store.Limits{Before: held[9].ID, Events: uint64(len(held)) - 3}, held, 9)
	f.retainWhole(store.Limits{Before: store.MaxID}, held, len(held))
}

// retainMany deletes more than any engine would in one commit, spread over the log.
func retainMany(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	var events []store.Event
	for range 4 {
		events = append(events, f.append(drafts(1000, "a", "b", "c", "a")...)...)
	}
	f.retain(ofTopics(filter(t, "a", "c"), func(string) store.Limits {
		return store.Limits{Events: 100}
	}), 1900+900)
	f.expect(filter(t, "a"), store.ID{}, matching(events, filter(t, "a"), store.ID{})[1900:])
	f.expect(filter(t, "b"), store.ID{}, matching(events, filter(t, "b"), store.ID{}))
	f.expect(filter(t, "c"), store.ID{}, matching(events, filter(t, "c"), store.ID{})[900:])
}

// retainKept: events that Keep names stay, whichever limit they exceed and however often it is applied; nothing else is
// deleted in their place; they are deleted once Keep no longer names them, and by a trim.
func retainKept(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(80, "a", "b", "a", "c")...)
	model := modelOf(events)
	kept := map[string]store.ID{}
	pass := func(whole store.Limits, topics store.Limits) {
		t.Helper()
		keep := ofTopics(store.Everything(), func(string) store.Limits { return topics })
		keep.Whole, keep.Keep = whole, func(topic string) store.ID { return kept[topic] }
		for range 2 {
			want, err := model.Retain(t.Context(), keep)
			if err != nil {
				t.Fatal(err)
			}
			f.retain(keep, want)
			f.expectBooks(model)
			f.expect(store.All(), store.ID{}, model.events)
		}
	}
	more := func(n int) {
		added := f.append(drafts(n, "a", "c", "d")...)
		model.Adopt(added...)
		events = append(events, added...)
	}
	kept["a"], kept["b"] = events[8].ID, events[21].ID
	pass(store.Limits{Events: 70}, store.Limits{}) // deletes the first of a and b, and others before them
	pass(store.Limits{Events: 40}, store.Limits{}) // passes over some
	pass(store.Limits{Events: 40}, store.Limits{}) // and again
	more(9)
	pass(store.Limits{Events: 40}, store.Limits{})
	pass(store.Limits{Before: events[50].ID}, store.Limits{})
	kept["a"] = events[12].ID
	pass(store.Limits{Events: 40}, store.Limits{Events: 30})
	kept["c"] = events[79].ID
	pass(store.Limits{}, store.Limits{Before: events[60].ID, Events: 5})
	f.reopen()
	more(12)
	pass(store.Limits{Events: 20}, store.Limits{Events: 2})
	f.trim(filter(t, "a"), events[40].ID, mustTrim(t, model, filter(t, "a"), events[40].ID))
	pass(store.Limits{Events: 20}, store.Limits{})
	pass(store.Limits{Bytes: 1}, store.Limits{Bytes: 1}) // all that may be deleted
	delete(kept, "b")
	pass(store.Limits{Events: 10}, store.Limits{})
	kept = nil
	pass(store.Limits{Events: 10}, store.Limits{})
	pass(store.Limits{Bytes: 1}, store.Limits{})
}

// mustTrim returns how many events the model trims.
func mustTrim(t testing.TB, model *Model, f store.Filter, before store.ID) int {
	t.Helper()
	n, err := model.Trim(t.Context(), f, before)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func retainClosed(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(2, "a")...)
	f.close()
	for _, keep := range []store.Retention{
		ofTopics(store.All(), func(string) store.Limits { return store.Limits{Events: 1} }),
		{Whole: store.Limits{Events: 1}},
		{},
	} {
		if _, err := f.Retain(t.Context(), keep); !errors.Is(err, store.ErrClosed) {
			t.Fatalf("retain of a closed log: %v, want %v", err, store.ErrClosed)
		}
	}
}
