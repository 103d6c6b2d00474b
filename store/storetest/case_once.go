package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/store"
)

func onceCases() []Case {
	return []Case{
		{"once/a key replays its group", onceReplay},
		{"once/a key for something else is refused", onceMismatch},
		{"once/a key survives reopening and trimming", onceSurvives},
		{"once/several groups, each with its key", onceGroups},
		{"once/duplicates at the same time", onceConcurrent},
		{"once/the window and the cap", onceLimits},
		{"once/a flood costs others no key", onceFlood},
		{"once/ending a topic", onceEnd},
		{"once/ended outlives trimming and reopening", onceEndSurvives},
	}
}

func group(key string, drafts ...store.Draft) store.Group {
	return store.Group{Key: key, Drafts: drafts}
}

// once appends the groups and ends the test on an error.
func (f *fixture) once(groups ...store.Group) []store.Result {
	f.t.Helper()
	results, err := f.AppendOnce(context.Background(), groups)
	if err != nil {
		f.t.Fatalf("append once: %v", err)
	}
	if len(results) != len(groups) {
		f.t.Fatalf("append once of %d groups returned %d results", len(groups), len(results))
	}
	return results
}

func (f *fixture) replays(first store.Result, trimmed bool, g store.Group) {
	f.t.Helper()
	head := f.Head()
	got := f.once(g)[0]
	if !got.Replayed || got.Trimmed != trimmed || !slices.Equal(got.IDs, first.IDs) {
		f.t.Fatalf("key %q again: %+v, want the first result %+v replayed, trimmed %v", g.Key, got,
			first, trimmed)
	}
	if f.Head() != head {
		f.t.Fatalf("key %q again was stored a second time", g.Key)
	}
}

func onceReplay(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	one, three := group("one", drafts(1, "orders")...),
		group("three", drafts(3, "orders", "tickets")...)
	first, second := f.once(one)[0], f.once(three)[0]
	if first.Replayed || second.Replayed || len(second.IDs) != 3 {
		t.Fatalf("first time: %+v, %+v; want 1 and 3 IDs, not replayed", first, second)
	}
	for range 3 {
		f.replays(first, false, one)
		f.replays(second, false, three)
	}
	if a, b := f.once(group("", drafts(1, "orders")...)),
		f.once(group("", drafts(1, "orders")...)); a[0].IDs[0] == b[0].IDs[0] {
		t.Fatal("without a key an event was taken for its twin")
	}
}

func onceMismatch(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	base := store.Draft{Topic: "orders", Type: "created", ContentType: "text/plain",
		Data: []byte("1")}
	f.once(group("k", base))
	head := f.Head()
	for name, change := range map[string]func(*store.Draft){
		"topic":        func(d *store.Draft) { d.Topic = "orders2" },
		"type":         func(d *store.Draft) { d.Type = "create" },
		"content type": func(d *store.Draft) { d.ContentType = "text/plain1" },
		"data":         func(d *store.Draft) { d.Data = []byte("2") },
		// Lengths count: the same bytes, cut elsewhere.
		"boundary": func(d *store.Draft) { d.Type, d.ContentType = "createdt", "ext/plain" },
	} {
		other := base
		change(&other)
		if _, err := f.AppendOnce(context.Background(),
			[]store.Group{group("k", other)}); !errors.Is(err, store.ErrKeyMismatch) {
			t.Errorf("key with another %s: %v, want ErrKeyMismatch", name, err)
		}
	}
	if _, err := f.AppendOnce(context.Background(),
		[]store.Group{group("k", base, base)}); !errors.Is(err, store.ErrKeyMismatch) {
		t.Errorf("key with one more draft: %v, want ErrKeyMismatch", err)
	}
	if f.Head() != head {
		t.Error("a refused group was stored")
	}
}

func onceSurvives(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	g := group("k", drafts(2, "orders")...)
	first := f.once(g)[0]
	f.append(drafts(1, "orders")...)
	f.reopen()
	f.replays(first, false, g)
	f.trim(store.All(), first.IDs[1], 1)
	f.replays(first, true, g)
	f.trim(store.All(), store.MaxID, 2)
	f.reopen()
	f.replays(first, true, g)
}

func onceGroups(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	a, b, c := group("a", drafts(1, "orders")...), group("b", drafts(2, "tickets")...),
		group("", drafts(1, "orders")...)
	first := f.once(a)[0]
	got := f.once(b, a, c, b)
	if !got[1].Replayed || got[1].IDs[0] != first.IDs[0] {
		t.Errorf("a known key among new ones: %+v, want %+v replayed", got[1], first)
	}
	if got[0].Replayed || got[2].Replayed || !got[3].Replayed ||
		!slices.Equal(got[0].IDs, got[3].IDs) {
		t.Errorf("a key twice in one call: %+v and %+v, want the second to be the first, replayed",
			got[0], got[3])
	}
	if want, _ := got[0].IDs[1].Next(); got[2].IDs[0] != want {
		t.Errorf("IDs of one call: %v, then %v; want them consecutive", got[0].IDs, got[2].IDs)
	}
	// All or nothing: a mismatch, last of several, stores none of them.
	head := f.Head()
	bad := group("a", drafts(1, "elsewhere")...)
	_, err := f.AppendOnce(context.Background(),
		[]store.Group{group("d", drafts(1, "new")...), c, bad})
	var which *store.GroupError
	if !errors.Is(err, store.ErrKeyMismatch) || !errors.As(err, &which) || which.Index != 2 {
		t.Errorf("a mismatch in the third of three groups: %v, want a GroupError of index 2", err)
	}
	_, err = f.AppendOnce(context.Background(),
		[]store.Group{group("e", drafts(1, "new")...), group("e", drafts(1, "other")...)})
	if !errors.Is(err, store.ErrKeyMismatch) {
		t.Errorf("a key twice in one call, for different drafts: %v, want ErrKeyMismatch", err)
	}
	if f.Head() != head {
		t.Error("half of a refused call was stored")
	}
	if r := f.once(group("d", drafts(1, "new")...)); r[0].Replayed {
		t.Error("the key of a refused call was remembered")
	}
}

func onceConcurrent(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	const callers = 50
	for round := range 5 {
		g := group(fmt.Sprint("round ", round), drafts(2, "orders")...)
		results := make([]store.Result, callers)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i] = f.once(g)[0] })
		}
		wg.Wait()
		stored := 0
		for _, r := range results {
			if !r.Replayed {
				stored++
			}
			if !slices.Equal(r.IDs, results[0].IDs) {
				t.Fatalf("callers with the same key got %v and %v", results[0].IDs, r.IDs)
			}
		}
		if stored != 1 {
			t.Fatalf("%d of %d callers with the same key stored it, want 1", stored, callers)
		}
	}
	if info, err := f.Info(); err != nil || info.Events != 10 {
		t.Errorf("%d events (%v), want 10", info.Events, err)
	}
}

func onceLimits(t testing.TB, open Factory) {
	clock := newClock(time.Now())
	f := start(t, open, Options{Now: clock.now, KeyWindow: time.Hour, MaxKeys: 3})
	g := func(key string) store.Group { return group(key, drafts(1, "orders")...) }
	first := make(map[string]store.Result)
	for _, key := range []string{"a", "b", "c"} {
		clock.advance(10 * time.Minute)
		first[key] = f.once(g(key))[0]
	}
	f.replays(first["a"], false, g("a"))
	first["d"] = f.once(g("d"))[0] // a is the oldest of four
	if f.once(g("a"))[0].Replayed {
		t.Error("a key beyond the cap is remembered")
	}
	f.replays(first["d"], false, g("d"))
	clock.advance(time.Hour - time.Millisecond)
	f.reopen()
	f.replays(first["d"], false, g("d"))
	clock.advance(time.Millisecond)
	if f.once(g("d"))[0].Replayed {
		t.Error("a key beyond the window is remembered")
	}
	if info, err := f.Info(); err != nil || info.Keys < 1 || info.Keys > 3 ||
		info.OldestKey.IsZero() {
		t.Errorf("info %+v (%v), want 1 to 3 keys and the oldest", info, err)
	}
}

// onceFlood: if there are too many keys, the owner with most loses the oldest first.
func onceFlood(t testing.TB, open Factory) {
	f := start(t, open, Options{MaxKeys: 40})
	of := func(owner, key string) store.Group {
		return store.Group{Key: owner + " " + key, Owner: owner, Drafts: drafts(1, "orders")}
	}
	shop := f.once(of("shop", "1"))[0]
	var few []store.Result
	for i := range 10 {
		few = append(few, f.once(of("few", strconv.Itoa(i)))[0])
	}
	var flood []store.Group
	for i := range 100 {
		if flood = append(flood, of("flood", strconv.Itoa(i))); len(flood) == 25 {
			f.once(flood...)
			flood = flood[:0]
		}
	}
	f.reopen()
	for i := range 5 {
		f.once(of("flood", strconv.Itoa(1000+i)), of("nobody", strconv.Itoa(i)))
	}
	f.replays(shop, false, of("shop", "1"))
	for i, r := range few {
		f.replays(r, false, of("few", strconv.Itoa(i)))
	}
	if info, err := f.Info(); err != nil || info.Keys > 40 {
		t.Errorf("%d keys (%v), want 40 at most", info.Keys, err)
	}
	if f.once(of("flood", "80"))[0].Replayed {
		t.Error("the flood has kept more than there was room for")
	}
}

func onceEnd(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	end := func(topic string) store.Draft {
		return store.Draft{Topic: topic, Type: store.TypeEnd, Data: []byte("{}")}
	}
	keyed := group("k", drafts(1, "orders")...)
	before := f.once(keyed)[0]
	first := f.once(group("", end("orders")))[0]
	if first.Replayed || f.topic("orders").Ended != first.IDs[0] {
		t.Errorf("end: %+v, topic says %v", first, f.topic("orders").Ended)
	}
	head := f.Head()
	for range 2 {
		if again := f.once(group("", end("orders")))[0]; !again.Replayed ||
			again.IDs[0] != first.IDs[0] {
			t.Errorf("second end: %+v, want %v replayed", again, first.IDs)
		}
	}
	if _, err := store.Append(context.Background(), f, drafts(1, "orders")); !errors.Is(err,
		store.ErrEnded) {
		t.Errorf("append to a topic that has ended: %v, want ErrEnded", err)
	}
	_, err := store.Append(context.Background(), f, drafts(2, "tickets", "orders"))
	if !errors.Is(err, store.ErrEnded) {
		t.Errorf("batch with a topic that has ended: %v, want ErrEnded", err)
	}
	f.replays(before, false, keyed) // the key is looked up first
	if f.Head() != head {
		t.Error("something was stored after the end")
	}
	f.append(drafts(1, "orders.eu")...)
	for patterns, want := range map[string]bool{"orders": true, "orders orders.eu": false,
		"orders.eu": false, "*": false, ">": false, "unknown": false} {
		last, all := f.Ended(filter(t, strings.Fields(patterns)...))
		if all != want || all && last != first.IDs[0] {
			t.Errorf("%q ended: %v at %v, want %v at %v", patterns, all, last, want, first.IDs[0])
		}
	}
	if r := f.once(group("", end("never.used")))[0]; r.Replayed {
		t.Errorf("end of a topic without events: %+v", r)
	}
	_, err = store.Append(context.Background(), f, []store.Draft{end("a"), end("b")})
	if !errors.Is(err, store.ErrInvalid) {
		t.Errorf("an end among others: %v, want ErrInvalid", err)
	}
}

func onceEndSurvives(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(3, "orders")...)
	end := group("", store.Draft{Topic: "orders", Type: store.TypeEnd})
	first := f.once(end)[0]
	f.reopen()
	f.trim(store.All(), store.MaxID, 4)
	f.reopen()
	if got := f.topic("orders").Ended; got != first.IDs[0] {
		t.Errorf("ended %v after trimming and reopening, want %v", got, first.IDs[0])
	}
	if again := f.once(end)[0]; !again.Replayed || !again.Trimmed || again.IDs[0] != first.IDs[0] {
		t.Errorf("second end: %+v, want %v replayed and trimmed", again, first.IDs)
	}
	if _, err := store.Append(context.Background(), f, drafts(1, "orders")); !errors.Is(err,
		store.ErrEnded) {
		t.Errorf("append: %v, want ErrEnded", err)
	}
}
