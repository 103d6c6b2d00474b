package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"tidings/store"
)

func slotCases() []Case {
	return []Case{
		{"slots/what is in one is the newest of its subject, until it is closed", slotNewest},
		{"slots/of many at once one is stored", slotRace},
		{"slots/refused", slotRefused},
	}
}

// about returns an event of a reserved topic about a subject.
func about(topic, subject string) store.Draft {
	return store.Draft{Topic: topic, Type: "t", ContentType: "application/json", Data: []byte("{}"),
		Attributes: []store.Attribute{{Name: "source", Value: `"/"`}, {Name: "subject", Value: `"` + subject + `"`}}}
}

// into returns a group that is stored if newest is in its slot.
func into(newest store.ID, drafts ...store.Draft) store.Group {
	return store.Group{Drafts: drafts, Newest: &newest, Slot: true}
}

func closing(d store.Draft) store.Draft {
	d.Closes = true
	return d
}

func slotNewest(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	one, other, elsewhere := about("$alerts.orders", "1"), about("$alerts.orders", "2"), about("$alerts.tickets", "1")
	f.refused(store.ID{}, into(store.MaxID, one))
	first := f.once(into(store.ID{}, one))[0].IDs[0]
	f.append(drafts(1, "$alerts.orders")...) // without a slot
	f.once(into(store.ID{}, other))
	f.once(into(store.ID{}, elsewhere))
	f.refused(first, into(store.ID{}, one))
	second := f.once(store.Group{Drafts: []store.Draft{one}})[0].IDs[0]
	f.trim(store.Everything(), store.MaxID, 5)
	for range 2 {
		f.refused(second, into(first, one)) // although second is trimmed, and after a reopen
		f.reopen()
	}
	third := f.once(into(second, one))[0].IDs[0]
	f.refused(third, into(store.ID{}, closing(one)))
	f.once(into(third, closing(one)))
	for range 2 {
		f.refused(store.ID{}, into(third, one))
		f.reopen()
	}
	results := f.once(into(store.ID{}, one, closing(one), one), group("", closing(one)), group("", one))
	newest := results[2].IDs[0]
	f.refused(newest, into(store.ID{}, one))
	keyed := into(newest, one)
	keyed.Key = "k"
	claimed := f.once(keyed)[0]
	f.replays(claimed, false, keyed)
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
}

// slotRace: of the requests for one slot one wins, and the others get the winner's ID. Each round has
// several slots, so that requests that share a commit also want different ones.
func slotRace(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	const rounds, slots, claimers = 20, 4, 4
	for round := range rounds {
		var all sync.WaitGroup
		var mu sync.Mutex
		winners, told := make(map[string]store.ID), make(map[string][]store.ID)
		begin := make(chan struct{})
		for i := range slots * claimers {
			subject := strings.Repeat("x", 1+round) + string(rune('a'+i%slots))
			all.Go(func() {
				<-begin
				results, err := f.AppendOnce(context.Background(),
					[]store.Group{into(store.ID{}, about("$alerts.orders", subject))})
				mu.Lock()
				defer mu.Unlock()
				var lost *store.ConditionError
				switch {
				case err == nil && winners[subject].IsZero():
					winners[subject] = results[0].IDs[0]
				case err == nil:
					t.Errorf("round %d: %s has two winners", round, subject)
				case errors.As(err, &lost):
					told[subject] = append(told[subject], lost.Newest)
				default:
					t.Error(err)
				}
			})
		}
		close(begin)
		all.Wait()
		if len(winners) != slots {
			t.Fatalf("round %d has the winners %v", round, winners)
		}
		for subject, ids := range told {
			for _, id := range ids {
				if id != winners[subject] {
					t.Errorf("round %d: a loser of %s was told %s, the winner is %s", round, subject, id, winners[subject])
				}
			}
		}
	}
}

func slotRefused(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	one := about("$alerts.orders", "1")
	plain := one
	plain.Topic = "orders"
	bare := store.Draft{Topic: "$alerts.orders", Type: "t"}
	for name, groups := range map[string][]store.Group{
		"no topic that is reserved":    {into(store.ID{}, plain)},
		"no subject":                   {into(store.ID{}, bare)},
		"two subjects":                 {into(store.ID{}, one, about("$alerts.orders", "2"))},
		"two topics":                   {into(store.ID{}, one), group("", about("$alerts.tickets", "1"))},
		"nothing to compare with":      {{Drafts: []store.Draft{one}, Slot: true}},
		"closes what it does not have": {group("", closing(plain))},
		"a subject that is too long":   {group("", about("$alerts.orders", strings.Repeat("x", store.MaxSlotBytes)))},
	} {
		if _, err := f.AppendOnce(context.Background(), groups); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}
