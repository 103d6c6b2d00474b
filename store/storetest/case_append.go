package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidings/store"
)

func appendCases() []Case {
	cases := []Case{
		{"append/one event", appendOne},
		{"append/a batch is in order and contiguous", appendBatch},
		{"append/an empty batch is refused", appendNothing},
		{"append/is visible when it returns", appendVisible},
		{"append/keeps no reference to the drafts", appendCopies},
		{"append/an ended context stores or refuses", appendEndedContext},
	}
	for name, d := range invalidDrafts() {
		cases = append(cases, Case{"append/invalid: " + name, func(t testing.TB, open Factory) {
			appendInvalid(t, open, d)
		}})
	}
	slices.SortStableFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases
}

func appendOne(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(store.Draft{Topic: "orders", Data: []byte(`{"order":1}`)})
	if want[0].Type != store.DefaultType {
		t.Fatalf("type is %q", want[0].Type)
	}
	f.expect(store.All(), store.ID{}, want)
}

func appendBatch(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	var want []store.Event
	for _, n := range []int{1, 2, 3, 129, 1000} {
		want = append(want, f.append(drafts(n, "orders", "tickets.eu", "tickets.us")...)...)
	}
	f.expect(store.All(), store.ID{}, want)
	f.reopen()
	f.expect(store.All(), store.ID{}, want)
}

func appendNothing(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	for _, none := range [][]store.Draft{nil, {}} {
		if ids, err := store.Append(t.Context(), f, none); !errors.Is(err, store.ErrInvalid) ||
			len(ids) > 0 {
			t.Fatalf("append of no drafts returned %v, %v; want ErrInvalid", ids, err)
		}
	}
	if head := f.Head(); !head.IsZero() {
		t.Fatalf("append of no drafts moved the head to %s", head)
	}
}

func appendVisible(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	for i := range 20 {
		want := f.append(drafts(1+i%3, "orders")...) // compares the head
		for k, e := range want {
			got, err := f.Get(e.ID)
			if err != nil {
				t.Fatalf("append returned, but event %s cannot be got: %v", e.ID, err)
			}
			if d := difference([]store.Event{got}, want[k:k+1]); d != "" {
				t.Fatal(d)
			}
		}
		read(t, f, store.All(), want[0].ID.Prev()).expect(pageSize, want)
	}
}

func appendCopies(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	batch := []store.Draft{{Topic: "orders", Data: []byte("as published"),
		Attributes: []store.Attribute{{Name: "source", Value: "/shop"}}}}
	want := f.append(batch...)
	copy(batch[0].Data, "overwritten!")
	batch[0].Attributes[0] = store.Attribute{Name: "id", Value: "overwritten"}
	f.expect(store.All(), store.ID{}, want)
}

func appendEndedContext(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	want := f.append(drafts(2, "orders")...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 20 {
		batch := drafts(2, "orders")
		switch ids, err := store.Append(ctx, f, batch); {
		case err == nil && len(ids) == len(batch):
			for k, id := range ids {
				want = append(want, committed(id, batch[k]))
			}
		case !errors.Is(err, store.ErrQueueFull):
			t.Fatalf("append %d with an ended context returned %v, %v; want IDs or ErrQueueFull", i,
				ids, err)
		}
	}
	f.expect(store.All(), store.ID{}, want)
}

// appendInvalid puts the draft at each place of a batch.
func appendInvalid(t testing.TB, open Factory, bad store.Draft) {
	f := start(t, open, Options{})
	want := f.append(drafts(2, "orders")...)
	head := f.Head()
	for place := range 4 {
		batch := slices.Insert(drafts(3, "orders", "unheard.of"), place, bad)
		if place == 3 {
			batch = []store.Draft{bad}
		}
		ids, err := store.Append(t.Context(), f, batch)
		if !errors.Is(err, store.ErrInvalid) || len(ids) > 0 {
			t.Fatalf("append with a bad draft at %d of %d returned %v, %v; want ErrInvalid",
				place, len(batch), ids, err)
		}
		if f.Head() != head {
			stored := read(t, f, store.All(), head).drain(pageSize)
			t.Fatalf("a refused batch was stored in part: %d of %d events", len(stored), len(batch))
		}
	}
	want = append(want, f.append(drafts(2, "orders")...)...)
	f.expect(store.All(), store.ID{}, want)
	for info := range f.Topics(store.All()) {
		if info.Topic != "orders" {
			t.Fatalf("a refused batch left the topic %q", info.Topic)
		}
	}
}

func invalidDrafts() map[string]store.Draft {
	long := strings.Repeat("x", store.MaxNameBytes+1)
	out := map[string]store.Draft{
		"long type":         {Topic: "orders", Type: long},
		"long content type": {Topic: "orders", ContentType: long},
		"long attribute name": {Topic: "orders",
			Attributes: []store.Attribute{{Name: "id", Value: "1"}, {Name: long}}},
		"empty attribute name": {Topic: "orders", Attributes: []store.Attribute{{Value: "1"}}},
		"topic of 256 bytes":   {Topic: long},
		"topic of 17 segments": {Topic: strings.Repeat("a.", store.MaxSegments) + "a"},
	}
	for _, topic := range []string{"", ".", "a.", ".a", "a..b", "a b", "a\x00", "a\n", "a/b",
		"é", "*", "a.*", ">", "a.>"} {
		out[fmt.Sprintf("topic %+q", topic)] = store.Draft{Topic: topic}
	}
	return out
}
