package storetest

import (
	"slices"
	"testing"
	"time"

	"tidings/store"
)

func readerCases() []Case {
	return []Case{
		{"reader/from every position", readerPositions},
		{"reader/from a position ahead of the log", readerAhead},
		{"reader/sees what is appended while it reads", readerInterleaved},
		{"reader/goes on at the head", readerAtHead},
		{"reader/sees topics that are newer than itself", readerNewTopics},
		{"reader/readers do not disturb each other", readerPair},
		{"reader/events outlive the log", readerEventsStay},
		{"reader/the caller owns the page", readerOwnsPage},
	}
}

func readerPositions(t testing.TB, open Factory) {
	c := newClock(noon)
	f := start(t, open, Options{Now: c.now})
	var events []store.Event
	for range 4 {
		c.advance(time.Second) // so that some neighbours of an ID are not IDs
		events = append(events, f.append(drafts(7, "orders", "tickets.eu", "tickets.us")...)...)
	}
	for _, pattern := range []string{">", "tickets.*", "orders"} {
		flt := filter(t, pattern)
		for _, after := range positions(events) {
			f.expect(flt, after, matching(events, flt, after))
		}
	}
}

func readerAhead(t testing.TB, open Factory) {
	c := newClock(noon)
	f := start(t, open, Options{Now: c.now})
	f.append(drafts(3, "orders")...)
	between := store.FirstIDAt(noon.Add(time.Minute))
	ahead, never := read(t, f, store.All(), between), read(t, f, store.All(), store.MaxID)
	ahead.expect(pageSize, nil)
	never.expect(pageSize, nil)
	if ahead.position != between || never.position != store.MaxID {
		t.Fatalf("readers ahead of the log moved to %s and %s", ahead.position, never.position)
	}
	c.advance(time.Second)
	f.append(drafts(3, "orders")...)
	ahead.expect(pageSize, nil)
	c.advance(time.Hour)
	ahead.expect(pageSize, f.append(drafts(3, "orders")...))
	never.expect(pageSize, nil)
}

func readerInterleaved(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	flt := filter(t, "orders", "tickets.>")
	events := f.append(drafts(20, "orders", "other", "tickets.eu")...)
	r := read(t, f, flt, store.ID{})
	var got []store.Event
	for range 8 {
		got = append(got, r.next(3).Events...)
		events = append(events, f.append(drafts(2, "tickets.us", "other")...)...)
	}
	got = append(got, r.drain(3)...)
	if d := difference(got, matching(events, flt, store.ID{})); d != "" {
		t.Fatalf("reader with appends between its pages: %s", d)
	}
}

func readerAtHead(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	r := read(t, f, filter(t, "orders"), store.ID{})
	r.expect(pageSize, nil) // the log is empty
	for i := range 5 {
		batch := f.append(drafts(2+i, "orders", "other")...)
		r.expect(pageSize, matching(batch, r.filter, store.ID{}))
		r.expect(pageSize, nil)
	}
}

func readerNewTopics(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	var readers []*reading
	for _, patterns := range [][]string{{"new"}, {"new.*"}, {"new.>"}, {">"},
		{"*.one", "new.two", "old"}} {
		readers = append(readers, read(t, f, filter(t, patterns...), store.ID{}))
	}
	for _, topic := range []string{"old", "new", "new.one", "new.two", "new.one.deep", "newer"} {
		batch := f.append(drafts(2, topic)...)
		for _, r := range readers {
			r.expect(pageSize, matching(batch, r.filter, store.ID{}))
		}
	}
}

func readerPair(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(30, "a", "b")...)
	flt := filter(t, "a")
	fast, slow := read(t, f, flt, store.ID{}), read(t, f, flt, store.ID{})
	var got []store.Event
	for range 5 {
		got = append(got, slow.next(1).Events...)
		fast.next(4)
	}
	if d := difference(append(got, slow.drain(2)...), matching(events, flt, store.ID{})); d != "" {
		t.Fatalf("reader beside a faster one: %s", d)
	}
}

// readerEventsStay would read unmapped or reused memory if a log handed out its own memory.
func readerEventsStay(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	var batch []store.Draft
	for range 100 {
		batch = append(batch, store.Draft{Topic: "orders", Type: "order.created",
			ContentType: "application/json",
			Data:        noise(500), Attributes: []store.Attribute{{Name: "source",
				Value: "/shop"}}})
	}
	want := f.append(batch...)
	got := read(t, f, store.All(), store.ID{}).drain(pageSize)
	one, err := f.Get(want[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	f.trim(store.All(), store.MaxID, len(want))
	f.append(drafts(200, "tickets")...)
	f.close()
	if d := difference(append([]store.Event{one}, got[1:]...), want); d != "" {
		t.Fatalf("events that were read before a trim and a close: %s", d)
	}
}

func readerOwnsPage(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(drafts(10, "orders")...)
	page := read(t, f, store.All(), store.ID{}).next(pageSize)
	_ = append(page.Events[:0], slices.Repeat([]store.Event{{Topic: "overwritten"}},
		len(page.Events))...)
	f.expect(store.All(), store.ID{}, want)
}
