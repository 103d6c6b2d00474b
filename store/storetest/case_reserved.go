package storetest

import (
	"math"
	"slices"
	"testing"

	"tidings/store"
)

func reservedCases() []Case {
	return []Case{
		{"reserved/matched by name alone", reservedByName},
		{"reserved/a trim is no loss to others", reservedTrim},
	}
}

// reservedByName lists by hand which topics a pattern matches, in a log that had no reserved topics when its
// readers were made.
func reservedByName(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	early := read(t, f, store.All(), store.ID{})
	plain := f.append(drafts(4, "orders", "orders.eu")...)
	early.expect(pageSize, plain)
	events := append(plain, f.append(drafts(12, "$alerts.orders", "orders", "$alerts.orders.eu",
		"$other.orders")...)...)
	check := func() {
		t.Helper()
		for _, c := range []struct {
			filter store.Filter
			topics []string
		}{
			{store.All(), []string{"orders", "orders.eu"}},
			{filter(t, ">"), []string{"orders", "orders.eu"}},
			{filter(t, "*"), []string{"orders"}},
			{filter(t, "*.*", "*.>"), []string{"orders.eu"}},
			{filter(t, "$alerts.>"), []string{"$alerts.orders", "$alerts.orders.eu"}},
			{filter(t, "$alerts.*"), []string{"$alerts.orders"}},
			{filter(t, ">", "$other.*"), []string{"$other.orders", "orders", "orders.eu"}},
			{filter(t, "$alerts.orders"), []string{"$alerts.orders"}},
			{store.Everything(), []string{"$alerts.orders", "$alerts.orders.eu", "$other.orders",
				"orders", "orders.eu"}},
		} {
			want := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool {
				return !slices.Contains(c.topics, e.Topic)
			})
			f.expect(c.filter, store.ID{}, want)
			var topics []string
			for info := range f.Topics(c.filter) {
				topics = append(topics, info.Topic)
			}
			if slices.Sort(topics); !slices.Equal(topics, c.topics) {
				t.Errorf("%q lists the topics %q, want %q", c.filter, topics, c.topics)
			}
			if n, err := f.Count(c.filter, store.ID{}, math.MaxInt); err != nil || n != len(want) {
				t.Errorf("%q counts %d events, %v, want %d", c.filter, n, err, len(want))
			}
			for n := range len(want) + 2 {
				checkNewest(t, f, want, c.filter, store.MaxID, n)
			}
		}
	}
	early.expect(pageSize, matching(events, filter(t, "orders"), early.position))
	check()
	f.reopen()
	check()
}

func reservedTrim(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(8, "orders", "$alerts.orders")...)
	f.trim(store.All(), events[1].ID, 1)
	f.trim(filter(t, "$alerts.>"), store.MaxID, 4)
	f.expectLoss("of what is reserved", []string{">"}, events[0].ID, store.ID{})
	f.expectLoss("of what is reserved", []string{"*"}, events[0].ID, store.ID{})
	f.expectLoss("of what is reserved", []string{"$alerts.orders"}, events[0].ID, events[7].ID)
	f.expect(store.Everything(), store.ID{}, []store.Event{events[2], events[4], events[6]})
}
