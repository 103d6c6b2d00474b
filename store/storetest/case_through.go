package storetest

import (
	"testing"

	"tidings/store"
)

func throughCases() []Case {
	return []Case{
		{"through/moves to the head when nothing matches", throughNothing},
		{"through/moves over what does not match", throughOthers},
		{"through/never goes back", throughNeverBack},
		{"through/is a cursor like any other", throughCursor},
	}
}

func throughNothing(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	r := read(t, f, filter(t, "tickets"), store.ID{})
	for i := range 4 {
		f.append(drafts(100+i, "orders", "comments")...)
		r.expect(pageSize, nil)
		r.expectPosition("nothing matched", f.Head())
	}
	none := read(t, f, store.Filter{}, store.ID{})
	none.expect(pageSize, nil)
	none.expectPosition("the filter matches nothing", f.Head())
}

func throughOthers(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(drafts(1, "tickets")...)
	f.append(drafts(50, "orders")...)
	r := read(t, f, filter(t, "tickets"), store.ID{})
	r.expect(pageSize, want)
	r.expectPosition("only others follow the last match", f.Head())
}

// throughNeverBack relies on the check of every page against the one before.
func throughNeverBack(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(12, "orders", "tickets")...)
	r := read(t, f, filter(t, "orders"), store.MaxID.Prev())
	for range 3 {
		r.next(2)
		r.expectPosition("the position is ahead of the log", store.MaxID.Prev())
		f.append(drafts(2, "orders")...)
	}
	r = read(t, f, filter(t, "orders"), store.ID{})
	for range 3 {
		r.next(2)
		f.trim(store.All(), events[0].ID, 0)
	}
	f.trim(store.All(), store.MaxID, len(events)+6)
	at := r.position
	r.expect(pageSize, nil)
	if r.position.Before(at) || r.position != f.Head() {
		t.Fatalf("through is %s after everything was trimmed, it was %s, the head is %s",
			r.position, at, f.Head())
	}
}

// throughCursor changes readers after every page, as a reconnecting client does.
func throughCursor(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(40, "orders", "tickets", "comments")...)
	flt := filter(t, "orders", "comments")
	var got []store.Event
	for position := (store.ID{}); position != f.Head(); {
		r := read(t, f, flt, position)
		got = append(got, r.next(3).Events...)
		position = r.position
	}
	if d := difference(got, matching(events, flt, store.ID{})); d != "" {
		t.Fatalf("a new reader for each page: %s", d)
	}
}

func (r *reading) expectPosition(when string, want store.ID) {
	r.t.Helper()
	if r.position != want {
		r.t.Fatalf("%s: through is %s, want %s", when, r.position, want)
	}
}
