package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tidings/store"
)

func filterCases() []Case {
	var cases []Case
	for _, patterns := range [][]string{
		{}, // the zero Filter matches nothing
		{">"},
		{"*"},
		{"orders"},
		{"Orders"},
		{"order"},
		{"orders.>"},
		{"orders.*"},
		{"orders.*.created"},
		{"*.eu"},
		{"*.eu.>"},
		{"orders.eu", "tickets"},
		{"orders.eu", "orders.*", "orders.>", "*.eu", ">"}, // they overlap, yet each event comes once
		{"orders.eu", "orders.eu"},
		{"nothing", "nothing.>", "orders.eu.created.nothing"},
	} {
		name := "filter/" + strings.Join(patterns, " ")
		cases = append(cases, Case{name, func(t testing.TB, open Factory) {
			filterPatterns(t, open, patterns)
		}})
	}
	return append(cases, Case{"filter/many topics", filterManyTopics})
}

func filterPatterns(t testing.TB, open Factory, patterns []string) {
	f := start(t, open, Options{})
	topics := []string{"orders", "orders.eu", "orders.us", "orders.eu.created", "orders.us.created",
		"orders.us.paid",
		"order", "ordersx", "orders-eu", "tickets", "tickets.eu", "tickets.eu.open.now", "Orders"}
	var events []store.Event
	for range 2 {
		events = append(events, f.append(drafts(3*len(topics), topics...)...)...)
	}
	flt := filter(t, patterns...)
	for _, after := range []store.ID{{}, events[0].ID, events[20].ID, events[len(events)-1].ID} {
		f.expect(flt, after, matching(events, flt, after))
	}
}

// filterManyTopics has topics that differ in size by three orders of magnitude: the large ones cross a
// sparse index many times, the small ones lie far apart.
func filterManyTopics(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	random := rand.New(rand.NewPCG(2, 3))
	var batch []store.Draft
	for i := range 300 {
		n := 1 + i%4
		switch i % 100 {
		case 0:
			n = 1100
		case 1:
			n = 130
		}
		topic := fmt.Sprintf("user.%d.%s", i, []string{"orders", "tickets", "comments"}[i%3])
		for range n {
			batch = append(batch, store.Draft{Topic: topic,
				Data: fmt.Appendf(nil, "event %d", len(batch))})
		}
	}
	random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	var events []store.Event
	for len(batch) > 0 {
		n := min(len(batch), 1+random.IntN(1000))
		events = append(events, f.append(batch[:n]...)...)
		batch = batch[n:]
	}

	ids := idsOf(events)
	check := func() {
		t.Helper()
		for _, patterns := range [][]string{
			{"user.0.orders"}, {"user.100.tickets"}, {"user.1.tickets"}, {"user.7.tickets"},
			{"user.299.comments", "user.200.comments"}, {"*.*.tickets"},
			{"user.*.comments", "user.0.>"}, {">"},
		} {
			flt := filter(t, patterns...)
			for range 8 {
				after := ids[random.IntN(len(ids))]
				read(t, f, flt, after).expect(1+random.IntN(pageSize), matching(events, flt, after))
			}
			read(t, f, flt, store.ID{}).expect(pageSize, matching(events, flt, store.ID{}))
			for _, n := range []int{0, 1, 127, 128, 129, 500, 1100, 5000} {
				checkNewest(t, f, events, flt, ids[random.IntN(len(ids))], n)
			}
		}
	}
	check()
	f.reopen()
	check()
	for _, pattern := range []string{"user.0.orders", "*.*.tickets", ">"} {
		flt, before := filter(t, pattern), ids[random.IntN(len(ids)/2)]
		kept := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool {
			return flt.Match(e.Topic) && e.ID.Before(before)
		})
		f.trim(flt, before, len(events)-len(kept))
		events = kept
		check()
	}
	f.reopen()
	check()
}

func idsOf(events []store.Event) []store.ID {
	var ids []store.ID
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}
