package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/store"
)

func trimCases() []Case {
	return []Case{
		{"trim/books are exact for each topic", trimBooks},
		{"trim/before is exclusive", trimExclusive},
		{"trim/only what matches", trimFilter},
		{"trim/everything", trimEverything},
		{"trim/many commits", trimMany},
		{"trim/in the middle of a read", trimDuringRead},
		{"trim/then append", trimThenAppend},
		{"trim/by several at once", trimConcurrent},
		{"trim/an ended context leaves a consistent part", trimEndedContext},
	}
}

// trimBooks trims step by step and compares the bookkeeping after each step, also of a reopened log.
func trimBooks(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(40, "a", "a", "b.c", "b.d")...)
	model := modelOf(events)
	for i, cut := range []store.ID{events[0].ID, events[1].ID, events[9].ID, events[10].ID.Prev(),
		events[30].ID, store.MaxID} {
		for _, pattern := range []string{"a", "b.*"} {
			flt := filter(t, pattern)
			want, err := model.Trim(t.Context(), flt, cut)
			if err != nil {
				t.Fatal(err)
			}
			f.trim(flt, cut, want)
			f.expectBooks(model)
		}
		if i%2 == 0 {
			f.reopen()
			f.expectBooks(model)
		}
	}
}

func modelOf(events []store.Event) *Model {
	m := NewModel(Options{})
	m.Adopt(events...)
	return m
}

// expectBooks compares the bookkeeping with the model, except the bytes, which are each engine's own.
func (f *fixture) expectBooks(model *Model) {
	f.t.Helper()
	for want := range model.Topics(store.All()) {
		got := f.topic(want.Topic)
		bytes := got.Bytes
		got.Bytes = want.Bytes
		switch {
		case got.Trimmed != want.Trimmed && got.Trimmed.Before(want.Trimmed):
			f.t.Fatalf("trimmed mark lost: topic %q is trimmed up to %s, want %s", want.Topic,
				got.Trimmed, want.Trimmed)
		case got != want:
			f.t.Fatalf("topic %q: the books say %+v, want %+v", want.Topic, got, want)
		case (bytes == 0) != (want.Count == 0):
			f.t.Fatalf("topic %q: %d events in %d bytes", want.Topic, want.Count, bytes)
		}
	}
	if got, want := f.Trimmed(), model.Trimmed(); got != want {
		f.t.Fatalf("trimmed mark lost: the log is trimmed up to %s, want %s", got, want)
	}
	Check(f.t, f.Log)
}

func trimExclusive(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(5, "orders")...)
	f.trim(store.All(), store.ID{}, 0)
	f.trim(store.All(), events[0].ID, 0)
	if trimmed := f.Trimmed(); !trimmed.IsZero() {
		t.Fatalf("a trim that deleted nothing left the mark %s", trimmed)
	}
	f.trim(store.All(), events[2].ID, 2)
	f.expect(store.All(), store.ID{}, events[2:])
	f.trim(store.All(), events[2].ID, 0)
	next, _ := events[2].ID.Next()
	f.trim(store.All(), next, 1)
	f.expect(store.All(), store.ID{}, events[3:])
}

func trimFilter(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(30, "a", "a.b", "a.c", "d")...)
	f.trim(store.Filter{}, store.MaxID, 0)
	f.trim(filter(t, "nothing", "d.>"), store.MaxID, 0)
	f.trim(filter(t, "a.*", "a.b", "*.b"), events[20].ID, 10)
	var want []store.Event
	for i, e := range events {
		if i >= 20 || e.Topic == "a" || e.Topic == "d" {
			want = append(want, e)
		}
	}
	f.expect(store.All(), store.ID{}, want)
	f.reopen()
	f.expect(store.All(), store.ID{}, want)
}

func trimEverything(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(9, "a", "b")...)
	f.trim(store.All(), store.MaxID, len(events))
	for range 2 {
		f.expect(store.All(), store.ID{}, nil)
		f.expectBooksEmpty(events)
		f.trim(store.All(), store.MaxID, 0)
		f.reopen()
	}
}

func (f *fixture) expectBooksEmpty(gone []store.Event) {
	f.t.Helper()
	model := modelOf(gone)
	if _, err := model.Trim(context.Background(), store.All(), store.MaxID); err != nil {
		f.t.Fatal(err)
	}
	f.expectBooks(model)
}

// trimMany deletes more than any engine would in one commit.
func trimMany(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	var events []store.Event
	for range 4 {
		events = append(events, f.append(drafts(1000, "a", "b", "c", "a")...)...)
	}
	f.trim(filter(t, "a", "c"), events[3001].ID, 2251)
	want := matching(events, filter(t, "b"), store.ID{})
	f.expect(filter(t, "b"), store.ID{}, want)
	f.expect(filter(t, "a"), store.ID{}, matching(events[3001:], filter(t, "a"), store.ID{}))
	f.trim(store.All(), events[3999].ID, 3999-2251)
	f.expect(store.All(), store.ID{}, events[3999:])
}

// trimDuringRead trims behind, under and ahead of a reader that is halfway.
func trimDuringRead(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(40, "orders", "tickets")...)
	orders := matching(events, filter(t, "orders"), store.ID{})
	r := read(t, f, filter(t, "orders"), store.ID{})
	got := r.take(5)
	f.trim(store.All(), orders[4].ID, 8) // behind: the reader has seen them all
	got = append(got, r.take(1)...)
	f.trim(filter(t, "orders"), orders[12].ID, 8)
	rest := read(t, f, r.filter, r.position)
	r.expectTrimmed("trimmed under the reader", orders[11].ID)
	rest.expect(4, orders[12:])
	if d := difference(got, orders[:6]); d != "" {
		t.Fatalf("reader before it was trimmed under: %s", d)
	}
}

func trimThenAppend(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	old := f.append(drafts(10, "orders", "tickets")...)
	r := read(t, f, filter(t, "orders"), store.ID{})
	f.trim(store.All(), store.MaxID, len(old))
	want := f.append(drafts(6, "orders", "tickets")...)
	f.expect(store.All(), store.ID{}, want)
	r.expectTrimmed("everything old was trimmed", old[8].ID)
	f.reopen()
	f.expect(filter(t, "orders"), store.ID{}, matching(want, r.filter, store.ID{}))
	if info := f.topic("orders"); info.Count != 3 || info.First != want[0].ID ||
		info.Trimmed != old[8].ID {
		t.Fatalf("topic trimmed empty and appended to again: %+v", info)
	}
}

func trimEndedContext(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(1000, "a", "b")...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := f.Trim(ctx, filter(t, "a"), store.MaxID)
	if err == nil && n != 500 {
		t.Fatalf("trim returned no error but deleted %d of 500", n)
	}
	a := matching(events, filter(t, "a"), store.ID{})
	f.expect(filter(t, "a"), store.ID{}, a[n:])
	f.expect(filter(t, "b"), store.ID{}, matching(events, filter(t, "b"), store.ID{}))
	f.trim(filter(t, "a"), store.MaxID, 500-n)
}

// trimConcurrent: each event is deleted, and counted, by exactly one trim.
func trimConcurrent(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(1000, "a", "b", "c")...)
	var total atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		flt, before := filter(t, []string{">", "a", "b"}[i%3]), events[400+100*i].ID
		wg.Go(func() {
			n, err := f.Trim(context.Background(), flt, before)
			if err != nil {
				t.Errorf("trim beside others: %v", err)
			}
			total.Add(int64(n))
		})
	}
	within(t, "trim by several", wg.Wait)
	// ">" to 400 and 700, "a" to 500 and 800, "b" to 600 and 900
	var want []store.Event
	for i, e := range events {
		if i >= 700 && !(i < 800 && e.Topic == "a") && !(i < 900 && e.Topic == "b") {
			want = append(want, e)
		}
	}
	f.expect(store.All(), store.ID{}, want)
	if gone := len(events) - len(want); int(total.Load()) != gone {
		t.Fatalf("trims by several counted %d deleted events, %d are gone", total.Load(), gone)
	}
}
