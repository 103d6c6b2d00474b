package storetest

import (
	"testing"

	"tidings/store"
)

func pageCases() []Case {
	return []Case{
		{"page/at most max events", pageMax},
		{"page/bounded in bytes", pageBytes},
		{"page/an event larger than a page comes alone", pageLarge},
		{"page/pages of every size add up", pageSizes},
		{"page/one that is not released stays", pageReleased},
	}
}

func pageMax(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(drafts(10, "orders")...)
	for _, limit := range []int{1, 2, 9, 10, 11, 1 << 30} {
		page := read(t, f, store.All(), store.ID{}).next(limit)
		if n := len(page.Events); n > limit || n == 0 {
			t.Fatalf("page of %d events, asked for at most %d of %d", n, limit, len(want))
		}
		if d := difference(page.Events, want[:len(page.Events)]); d != "" {
			t.Fatalf("first page of at most %d: %s", limit, d)
		}
	}
}

func pageBytes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	var batch []store.Draft
	for i := range 16 { // every third or fourth crosses the bound, some meet it exactly
		batch = append(batch, store.Draft{Topic: "orders", Data: noise(store.MaxPageBytes/4 + i%2)},
			store.Draft{Topic: "tickets", Data: noise(store.MaxPageBytes / 10)})
	}
	want := f.append(batch...)
	f.expect(store.All(), store.ID{}, want) // checks each page against the bound
	f.expect(filter(t, "tickets"), store.ID{}, matching(want, filter(t, "tickets"), store.ID{}))
}

func pageLarge(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	small := store.Draft{Topic: "orders", Data: []byte("small")}
	large := store.Draft{Topic: "orders", Data: noise(store.MaxPageBytes + 1)}
	var want []store.Event
	for _, d := range []store.Draft{large, small, large, large, small} {
		want = append(want, f.append(d)...)
	}
	f.expect(store.All(), store.ID{}, want)
	for i := range want {
		page := read(t, f, store.All(), want[i].ID.Prev()).next(pageSize)
		if d := difference(page.Events,
			want[i:i+1]); len(want[i].Data) > store.MaxPageBytes && d != "" {
			t.Fatalf("page that begins with an event larger than a page: %s", d)
		}
	}
}

func pageSizes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(60, "a", "b", "c.d")...)
	for _, pattern := range []string{">", "*", "c.d"} {
		flt := filter(t, pattern)
		for limit := 1; limit <= 61; limit += 3 {
			read(t, f, flt, store.ID{}).expect(limit, matching(events, flt, store.ID{}))
		}
	}
}

func pageReleased(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(drafts(60, "a", "b", "c.d")...)
	kept, released := read(t, f, store.All(), store.ID{}), read(t, f, store.All(), store.ID{})
	released.next(7)
	released.reader.Release()
	first := kept.next(7)
	released.next(7)
	released.reader.Release()
	released.reader.Release() // nothing is left to give back
	for _, r := range []*reading{released, kept} {
		r.expect(11, matching(want, store.All(), r.position))
	}
	if d := difference(first.Events, want[:len(first.Events)]); d != "" {
		t.Fatalf("a page that was not released, after others were: %s", d)
	}
}
