package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/store"
)

func conditionCases() []Case {
	return []Case{
		{"condition/the newest event of the topic", conditionNewest},
		{"condition/after trimming and reopening", conditionSurvives},
		{"condition/judged after keys and ends", conditionOrder},
		{"condition/a batch is of one topic and judged before its first event", conditionBatch},
		{"condition/of many at once one is stored", conditionRace},
	}
}

// following returns a group that is stored if newest is the newest event of its topic.
func following(newest store.ID, drafts ...store.Draft) store.Group {
	return store.Group{Drafts: drafts, Newest: &newest}
}

// refused appends groups whose condition fails, and checks that nothing changes.
func (f *fixture) refused(newest store.ID, groups ...store.Group) {
	f.t.Helper()
	head := f.Head()
	_, err := f.AppendOnce(context.Background(), groups)
	var condition *store.ConditionError
	if !errors.As(err, &condition) || !errors.Is(err, store.ErrCondition) ||
		condition.Newest != newest {
		f.t.Fatalf("append after %s: %v, want a ConditionError with %s", *groups[0].Newest, err, newest)
	}
	if f.Head() != head {
		f.t.Fatal("what was refused was stored")
	}
}

func conditionNewest(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	order := drafts(1, "orders")
	f.refused(store.ID{}, following(store.MaxID, order...))
	first := f.once(following(store.ID{}, order...))[0].IDs[0]
	f.refused(first, following(store.ID{}, order...))
	f.append(drafts(1, "orders.eu")...) // another topic
	second := f.once(following(first, order...))[0].IDs[0]
	f.refused(second, following(first, order...))
	f.refused(second, following(f.Head().Prev(), order...))
	if got := f.topic("orders"); got.Newest() != second || got.Count != 2 {
		t.Errorf("topic: %+v, want two events up to %s", got, second)
	}
}

func conditionSurvives(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	order := drafts(1, "orders")
	first := f.once(following(store.ID{}, order...))[0].IDs[0]
	f.append(drafts(2, "tickets")...)
	f.trim(store.All(), store.MaxID, 3)
	for range 2 {
		f.refused(first, following(store.ID{}, order...))
		if got := f.topic("orders"); got.Newest() != first {
			t.Errorf("topic: %+v, want %s as the newest", got, first)
		}
		f.reopen()
	}
	second := f.once(following(first, order...))[0].IDs[0]
	f.reopen()
	f.refused(second, following(first, order...))
}

func conditionOrder(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	keyed := following(store.ID{}, drafts(1, "orders")...)
	keyed.Key = "k"
	first := f.once(keyed)[0]
	f.replays(first, false, keyed) // although there is an event now
	end := store.Draft{Topic: "orders", Type: store.TypeEnd}
	f.refused(first.IDs[0], following(store.ID{}, end))
	ended := f.once(following(first.IDs[0], end))[0]
	f.replays(ended, false, following(store.ID{}, end))
	f.replays(first, false, keyed)
	_, err := f.AppendOnce(context.Background(),
		[]store.Group{following(store.ID{}, drafts(1, "orders")...)})
	if !errors.Is(err, store.ErrEnded) {
		t.Errorf("append to a topic that has ended: %v, want ErrEnded", err)
	}
}

func conditionBatch(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	batch := []store.Group{following(store.ID{}, drafts(2, "orders")...),
		group("second", drafts(1, "orders")...)}
	results := f.once(batch...)
	newest := results[1].IDs[0]
	f.refused(newest, batch...) // its second group would be replayed
	batch[0].Newest = &newest
	f.once(batch...)
	for _, groups := range [][]store.Group{
		{following(store.ID{}, drafts(2, "orders", "tickets")...)},
		{following(store.ID{}, drafts(1, "orders")...), group("", drafts(1, "tickets")...)},
	} {
		if _, err := f.AppendOnce(context.Background(), groups); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("a condition on two topics: %v, want ErrInvalid", err)
		}
	}
}

// conditionRace: requests that share a commit see each other. Each round has one winner, and the losers
// get the ID of the event that won or of one that followed it.
func conditionRace(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	const rounds, claimers = 50, 8
	newest := store.ID{}
	for round := range rounds {
		var all sync.WaitGroup
		var won atomic.Pointer[store.ID]
		begin := make(chan struct{})
		for range claimers {
			all.Go(func() {
				<-begin
				results, err := f.AppendOnce(context.Background(),
					[]store.Group{following(newest, drafts(1, "orders")...)})
				switch {
				case err == nil && !won.CompareAndSwap(nil, &results[0].IDs[0]):
					t.Errorf("round %d has two winners", round)
				case err != nil && !errors.Is(err, store.ErrCondition):
					t.Errorf("round %d: %v", round, err)
				}
			})
			all.Go(func() {
				<-begin
				other := drafts(1, fmt.Sprintf("other.%d", round))
				if _, err := store.Append(context.Background(), f, other); err != nil {
					t.Errorf("an append beside them: %v", err)
				}
			})
		}
		close(begin)
		all.Wait()
		if winner := won.Load(); winner == nil || f.topic("orders").Newest() != *winner {
			t.Fatalf("round %d: %v won, and the topic has %+v", round, winner, f.topic("orders"))
		}
		newest = *won.Load()
	}
}
