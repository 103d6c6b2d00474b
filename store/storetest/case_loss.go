package storetest

import (
	"testing"

	"tidings/store"
)

// lossCases: a page reports as trimmed the newest trimmed event that matches and lies above the position.
func lossCases() []Case {
	return []Case{
		{"loss/at each edge of one topic", lossEdges},
		{"loss/trimmed topics of a wildcard", lossWildcard},
		{"loss/another topic's is none", lossOtherTopic},
		{"loss/of a topic that is empty", lossEmptyTopic},
		{"loss/is told once", lossOnce},
		{"loss/survives a reopen", lossReopened},
	}
}

// expectLoss compares the Trimmed of the first page after the position.
func (f *fixture) expectLoss(what string, patterns []string, after, want store.ID) {
	f.t.Helper()
	read(f.t, f, filter(f.t, patterns...), after).expectTrimmed(what, want)
}

func lossEdges(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(10, "orders")...)
	f.trim(store.All(), events[5].ID, 5)
	mark := events[4].ID
	above, _ := mark.Next()
	for _, pattern := range []string{"orders", "*", ">"} {
		for _, edge := range []struct {
			what        string
			after, want store.ID
		}{
			{"from the start", store.ID{}, mark},
			{"from the first trimmed event", events[0].ID, mark},
			{"one below the last trimmed event", mark.Prev(), mark},
			{"at the last trimmed event", mark, store.ID{}},
			{"one above the last trimmed event", above, store.ID{}},
			{"at the first retained event", events[5].ID, store.ID{}},
			{"at the head", events[9].ID, store.ID{}},
			{"ahead of the log", store.MaxID, store.ID{}},
		} {
			f.expectLoss(edge.what, []string{pattern}, edge.after, edge.want)
			f.expect(filter(t, pattern), edge.after, matching(events[5:], store.All(), edge.after))
		}
	}
}

func lossWildcard(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(30, "a.x", "a.y", "b")...)
	f.trim(filter(t, "a.x"), events[9].ID, 3)  // 0 3 6
	f.trim(filter(t, "a.y"), events[19].ID, 6) // 1 4 7 10 13 16
	f.trim(filter(t, "b"), events[29].ID, 9)   // 2 5 … 26
	x, y, b := events[6].ID, events[16].ID, events[26].ID
	for _, c := range []struct {
		patterns    []string
		after, want store.ID
	}{
		{[]string{"a.*"}, store.ID{}, y},
		{[]string{"a.*"}, x, y},
		{[]string{"a.*"}, y.Prev(), y},
		{[]string{"a.*"}, y, store.ID{}},
		{[]string{"a.x"}, store.ID{}, x},
		{[]string{"a.x"}, x, store.ID{}},
		{[]string{"a.x", "b"}, y, b},
		{[]string{"a.x", "b"}, b, store.ID{}},
		{[]string{">"}, store.ID{}, b},
		{[]string{">"}, b, store.ID{}},
		{[]string{"c", "a.x"}, x.Prev(), x},
	} {
		f.expectLoss("topics trimmed at different places", c.patterns, c.after, c.want)
	}
}

func lossOtherTopic(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(20, "orders", "tickets")...)
	f.trim(filter(t, "orders"), store.MaxID, 10)
	for _, patterns := range [][]string{{"tickets"}, {"tickets", "tickets.>"}, {"nothing"},
		{"orders.*"}} {
		f.expectLoss("only another topic was trimmed", patterns, store.ID{}, store.ID{})
	}
	f.expect(filter(t, "tickets"), store.ID{}, matching(events, filter(t, "tickets"), store.ID{}))
}

func lossEmptyTopic(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(10, "orders", "tickets")...)
	f.trim(store.All(), store.MaxID, 10)
	f.expectLoss("the topic is empty", []string{"orders"}, store.ID{}, events[8].ID)
	f.expectLoss("the topic is empty", []string{"orders"}, events[8].ID, store.ID{})
	f.expectLoss("the log is empty", []string{">"}, events[8].ID, events[9].ID)
	f.append(drafts(2, "tickets")...)
	f.expectLoss("another topic was appended to since", []string{"orders"},
		events[7].ID, events[8].ID)
}

// lossOnce: a reported loss is below the position from the next page on, unless the page ended before it;
// and a later trim is reported again.
func lossOnce(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(20, "orders")...)
	r := read(t, f, store.All(), store.ID{})
	f.trim(store.All(), events[5].ID, 5)
	r.expectTrimmed("before the first page", events[4].ID)
	r.expectTrimmed("after the first page", store.ID{})

	slow := read(t, f, store.All(), store.ID{})
	slow.next(1)
	slow.expectTrimmed("nothing was trimmed since", store.ID{})
	slow = read(t, f, store.All(), store.ID{})
	slow.take(3)
	f.trim(store.All(), events[12].ID, 7)
	slow.expectTrimmed("trimmed again", events[11].ID)
}

func lossReopened(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(20, "orders", "tickets")...)
	f.trim(filter(t, "orders"), events[11].ID, 6)
	for range 2 {
		f.reopen()
		f.expectLoss("after a reopen", []string{"orders"}, store.ID{}, events[10].ID)
		f.expectLoss("after a reopen", []string{"orders"}, events[10].ID, store.ID{})
		f.expectLoss("after a reopen", []string{">"}, events[3].ID, events[10].ID)
		f.expectLoss("after a reopen", []string{"tickets"}, store.ID{}, store.ID{})
	}
	f.trim(store.All(), store.MaxID, 14)
	f.reopen()
	f.expectLoss("all trimmed, after a reopen", []string{"tickets"}, events[18].ID, events[19].ID)
	if got, want := f.Trimmed(), events[19].ID; got != want {
		t.Fatalf("trimmed mark lost: the log is trimmed up to %s after a reopen, want %s",
			got, want)
	}
}
