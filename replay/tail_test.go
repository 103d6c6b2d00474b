package replay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

// TestWakesOnlyWhoIsConcerned: of 10,000 subscriptions to as many topics, an event wakes, and causes reads
// for, only those that it matches.
func TestWakesOnlyWhoIsConcerned(t *testing.T) {
	log := storetest.NewModel(storetest.Options{})
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	subs := make([]*replay.Subscription, 10_000)
	for i := range subs {
		subs[i] = subscribe(t, tail, filter(t, fmt.Sprintf("users.%d", i)), replay.Latest())
		drain(t, log, subs[i])
	}
	everything := subscribe(t, tail, store.All(), replay.Latest())
	drain(t, log, everything)

	before := tail.Stats()
	want := publish(t, log, "users.77")
	for _, sub := range []*replay.Subscription{subs[77], everything} {
		<-sub.Ready()
		if got := events(drain(t, log, sub)); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	after := tail.Stats()
	if woken := after.Wakeups - before.Wakeups; woken != 2 {
		t.Errorf("%d subscriptions were woken, want 2", woken)
	}
	if reads := after.LogReads - before.LogReads; reads != 0 {
		t.Errorf("%d reads of the log, want 0: both had caught up", reads)
	}
	for i, sub := range subs {
		select {
		case <-sub.Ready():
			t.Errorf("subscription to users.%d was woken", i)
		default:
		}
	}
}

// TestReady: every waiting subscription is woken, whichever pattern matched and however often.
func TestReady(t *testing.T) {
	eachTail(t, func(t *testing.T, log store.Log, tail *replay.Tail) {
		for _, patterns := range [][]string{{"a.b"}, {"a.*"}, {">"}, {"*.b", "a.b", "a.>"}} {
			sub := subscribe(t, tail, filter(t, patterns...), replay.Latest())
			drain(t, log, sub)
			for range 3 {
				want := publish(t, log, "a.b", "c", "a.b")
				<-sub.Ready()
				got := events(drain(t, log, sub))
				if patterns[0] == ">" {
					want = []store.ID{want[0], want[1], want[2]}
				} else {
					want = []store.ID{want[0], want[2]}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%v: got %v, want %v", patterns, got, want)
				}
			}
		}
	})
}

// TestCallsOnce: a subscription that was called and has not caught up since is not called again, so a commit costs
// nothing for streams that are stuck.
func TestCallsOnce(t *testing.T) {
	eachTail(t, func(t *testing.T, log store.Log, tail *replay.Tail) {
		calls := make(chan struct{}, 100)
		slow, err := tail.SubscribeFunc(store.All(), ids, replay.Latest(), func() { calls <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		quick := subscribe(t, tail, store.All(), replay.Latest())
		drain(t, log, slow)
		for range 3 {
			const rounds = 5
			for range rounds {
				publish(t, log, "a", "b")
				<-quick.Ready()
				drain(t, log, quick)
			}
			<-calls
			if more := len(calls); more > 1 { // one may be for what it had read before the tail gave it
				t.Errorf("called %d more times", more)
			}
			if got := len(events(drain(t, log, slow))); got != 2*rounds {
				t.Errorf("it got %d events, want %d", got, 2*rounds)
			}
		}
	})
}

// overlappingTopic is matched by all patterns of overlapping.
const overlappingTopic = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"

// overlapping returns a distinct filter for each i, of this many patterns that match the topic.
func overlapping(t testing.TB, i, patterns int) store.Filter {
	random := rand.New(rand.NewPCG(7, uint64(i)))
	all := []string{fmt.Sprintf("x.%d", i)}
	for range patterns {
		segments := strings.Split(overlappingTopic, ".")
		for i := range segments {
			if random.IntN(2) == 0 {
				segments[i] = "*"
			}
		}
		all = append(all, strings.Join(segments, "."))
	}
	return filter(t, all...)
}

// TestOverlappingFilters: a subscription with many matching patterns is woken once for an event and gets it
// once, whether it is there from the start, is added later, or stays when others leave.
func TestOverlappingFilters(t *testing.T) {
	eachTail(t, func(t *testing.T, log store.Log, tail *replay.Tail) {
		var subs []*replay.Subscription
		for i := range 6 {
			subs = append(subs, subscribe(t, tail, overlapping(t, i, 60), replay.Latest()))
			if i%3 == 2 {
				subs[0].Close()
				subs = subs[1:]
			}
			for range 2 {
				before := tail.Stats().Wakeups
				want := publish(t, log, overlappingTopic)
				for j, sub := range subs {
					<-sub.Ready()
					if got := events(drain(t, log, sub)); !slices.Equal(got, want) {
						t.Fatalf("of %d, number %d got %v, want %v", len(subs), j, got, want)
					}
				}
				if woken := tail.Stats().Wakeups - before; woken != uint64(len(subs)) {
					t.Fatalf("%d were woken, want %d", woken, len(subs))
				}
			}
		}
	})
}

// TestTailIsBounded: frames in memory stay within the limit, and the rest comes from the log.
func TestTailIsBounded(t *testing.T) {
	const limit = 64 << 10
	log := newLog(t)
	tail := replay.NewTail(log, replay.TailOptions{Bytes: limit})
	t.Cleanup(tail.Close)
	slow := subscribe(t, tail, store.All(), replay.Latest())
	quick := subscribe(t, tail, filter(t, "n"), replay.Latest())
	var want []store.ID
	for range 100 {
		batch := publish(t, log, slices.Repeat([]string{"n"}, 100)...)
		want = append(want, batch...)
		drain(t, log, quick)
		if bytes := tail.Stats().Bytes; bytes > limit {
			t.Fatalf("%d bytes in memory, the limit is %d", bytes, limit)
		}
	}
	if got := events(drain(t, log, slow)); !slices.Equal(got, want) {
		t.Errorf("the slow one got %d events, want %d, the same", len(got), len(want))
	}
	slow.Close()
	quick.Close()
	if stats := tail.Stats(); stats.Bytes != 0 || stats.Feeds != 0 {
		t.Errorf("after the last subscription: %+v, want nothing left", stats)
	}
}

// TestTailForgets: subscriptions that got an event and were closed leave nothing in memory.
func TestTailForgets(t *testing.T) {
	const rounds, most = 50_000, 1 << 20 // bytes; 20 per round
	log := storetest.NewModel(storetest.Options{})
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	var before int64
	for i := range rounds {
		if i == 1000 {
			before = storetest.Heap()
		}
		sub, err := tail.Subscribe(store.All(), ids, replay.Latest())
		if err != nil {
			t.Fatal(err)
		}
		publish(t, log, "a")
		<-sub.Ready()
		sub.Close()
		if i%100 == 99 { // the log must not keep them either
			if _, err := log.Trim(t.Context(), store.All(), store.MaxID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if grown := storetest.Heap() - before; grown > most {
		t.Errorf("%d bytes more on the heap after %d subscriptions, want at most %d",
			grown, rounds, most)
	}
}

// slowLog never reports new events, so that its Tail stays behind forever.
type slowLog struct{ store.Log }

func (slowLog) Wait(ctx context.Context, _ store.ID) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestSubscribeDoesNotTrustASlowTail: a subscription gets what was committed before it began before it
// reports that it has caught up, however far behind the tail is.
func TestSubscribeDoesNotTrustASlowTail(t *testing.T) {
	log := storetest.NewModel(storetest.Options{})
	tail := replay.NewTail(slowLog{log}, replay.TailOptions{})
	defer tail.Close()
	for range 3 {
		want := publish(t, log, "a", "b", "a")
		for name, sub := range map[string]*replay.Subscription{
			"all": subscribe(t, tail, store.All(), replay.After(want[0].String())),
			"a":   subscribe(t, tail, filter(t, "a"), replay.After(want[0].String())),
		} {
			var got []told
			for caughtUp := false; !caughtUp; {
				var more []told
				more, caughtUp = next(t, sub)
				got = append(got, more...)
			}
			if n := len(events(got)); n == 0 || got[n-1].id != want[2] {
				t.Errorf("%s: told that it has caught up after %v, want %v first", name,
					got, want[1:])
			}
		}
	}
}

// damagedLog reports the records of the topic "bad" as damaged, as an engine does.
type damagedLog struct{ store.Log }

func (l damagedLog) NewReader(f store.Filter, after store.ID) store.Reader {
	return &damagedReader{l.Log.NewReader(f, after), l.Log, f}
}

type damagedReader struct {
	store.Reader
	log store.Log
	f   store.Filter
}

func (r *damagedReader) Next(max int) (store.Page, error) {
	page, err := r.Reader.Next(max)
	for i, e := range page.Events {
		if e.Topic == "bad" {
			page.Events, page.Corrupt, page.Through = page.Events[:i], e.ID, e.ID
			r.Reader = r.log.NewReader(r.f, e.ID)
			break
		}
	}
	return page, err
}

// TestCorrupt: a damaged record is withheld and reported, between its neighbours, and reading continues
// after it: in the past as in the present.
func TestCorrupt(t *testing.T) {
	for name, bytes := range tails {
		t.Run("tail="+name, func(t *testing.T) {
			log := damagedLog{storetest.NewModel(storetest.Options{})}
			tail := replay.NewTail(log, replay.TailOptions{Bytes: bytes})
			defer tail.Close()
			live := subscribe(t, tail, store.All(), replay.Latest())
			drain(t, log, live)
			ids := publish(t, log, "ok", "bad", "ok", "bad")
			<-live.Ready()
			for when, sub := range map[string]*replay.Subscription{
				"past": subscribe(t, tail, store.All(), replay.Earliest()), "present": live,
			} {
				got := drain(t, log, sub)
				if len(got) != 4 || got[0].id != ids[0] || got[2].id != ids[2] {
					t.Fatalf("%s: got %v, want %v with gaps in place of the second and fourth",
						when, got, ids)
				}
				for _, i := range []int{1, 3} {
					if g := got[i].gap; g == nil || g.Reason != replay.Corrupt ||
						g.Through != ids[i] || g.Requested != ids[i-1].String() {
						t.Errorf("%s: gap %+v, want %q through %v after %v", when,
							g, replay.Corrupt, ids[i], ids[i-1])
					}
				}
			}
		})
	}
}

// TestCatchUpReusesMemory: the memory that a catch-up allocates does not grow with the events.
func TestCatchUpReusesMemory(t *testing.T) {
	const n, most = 20_000, 450 // bytes; under the race detector a pool drops a quarter
	log := newLog(t)
	tail := replay.NewTail(log, replay.TailOptions{})
	t.Cleanup(tail.Close)
	for range n / 1000 {
		drafts := slices.Repeat([]store.Draft{{Topic: "a", Data: benchPayload}}, 1000)
		if _, err := store.Append(t.Context(), log, drafts); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := tail.Subscribe(store.All(), frames, replay.Earliest())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for got := 0; got < n; {
		chunk, err := sub.Next()
		if err != nil {
			t.Fatal(err)
		}
		got += chunk.Events
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > most {
		t.Errorf("%d bytes allocated for each event, want at most %d", each, most)
	}
}
