//go:build bench

package replay_test

import (
	"fmt"
	"testing"
	"time"

	"tidings/internal/ratio"
	"tidings/replay"
	"tidings/store"
)

// TestRatioSubscribedTopics measures alternately, A B A B …, in one run: publishing to one of 10,000
// subscribed topics must cost what it costs with 10, and must touch no other subscription.
func TestRatioSubscribedTopics(t *testing.T) {
	const pairs, batches, events = 41, 40, 1000
	few, many := newFanOut(t), newFanOut(t)
	for f, n := range map[*fanOut]int{few: 10, many: 10_000} {
		for i := range n {
			f.subscribe(fmt.Sprintf("users.%d", i))
		}
	}
	took := func(f *fanOut) float64 {
		start := time.Now()
		for range batches {
			f.append("users.7", events)
			f.wait()
		}
		return time.Since(start).Seconds()
	}
	before := many.tail.Stats()
	got := ratio.Median(t, pairs, func() float64 { return took(many) }, func() float64 { return took(few) })
	if got > 1.2 {
		t.Errorf(
			"an event costs %.2f times as much with 10,000 subscribed topics as with 10, want at most 1.2",
			got)
	}
	after := many.tail.Stats()
	if woken, most := after.Wakeups-before.Wakeups, uint64((pairs+1)*batches*events); woken > most {
		t.Errorf("%d wake-ups for %d events that one subscription wants", woken, most)
	}
	// A woken subscription reads once for the events and once more to find nothing.
	if reads, most := after.TailReads+after.LogReads-before.TailReads-before.LogReads,
		2*uint64((pairs+1)*batches*events); reads > most {
		t.Errorf("%d reads for %d events that one subscription wants", reads, most/2)
	}
}

// TestRatioDistinctFilters: 80 subscriptions that do not read delay another one's delivery behind a large
// event by as much with distinct filters as with a common one.
func TestRatioDistinctFilters(t *testing.T) {
	const pairs, subscriptions, size = 41, 80, 1 << 20
	measure := func(filter func(i int) []string) func() float64 {
		f := newFanOut(t)
		for i := range subscriptions {
			patterns, err := store.NewFilter(filter(i)...)
			if err != nil {
				t.Fatal(err)
			}
			sub, err := f.tail.Subscribe(patterns, frames, replay.Latest())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sub.Close)
		}
		f.subscribe("other")
		large := store.Draft{Topic: "big", Data: make([]byte, size)}
		return func() float64 {
			if _, err := store.Append(t.Context(), f.log, []store.Draft{large}); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			f.append("other", 1)
			f.wait()
			return time.Since(start).Seconds()
		}
	}
	distinct := measure(func(i int) []string { return []string{"big", fmt.Sprintf("x.%d", i)} })
	same := measure(func(int) []string { return []string{"big", "x"} })
	got := ratio.Median(t, pairs, distinct, same)
	if got > 1.5 {
		t.Errorf("behind a large event a delivery takes %.2f times as long with %d filters as with "+
			"one, want at most 1.5", got, subscriptions)
	}
}

// TestRatioOverlappingFilters: 500 subscriptions delay another one's delivery by as much when each has 64
// patterns that match the same topic as when each has one.
func TestRatioOverlappingFilters(t *testing.T) {
	const pairs, subscriptions = 41, 500
	measure := func(patterns int) func() float64 {
		f := newFanOut(t)
		for i := range subscriptions {
			sub, err := f.tail.Subscribe(overlapping(t, i, patterns), frames, replay.Latest())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sub.Close)
		}
		f.subscribe("other")
		event := store.Draft{Topic: overlappingTopic, Data: []byte("1")}
		return func() float64 {
			if _, err := store.Append(t.Context(), f.log, []store.Draft{event}); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			f.append("other", 1)
			f.wait()
			return time.Since(start).Seconds()
		}
	}
	many, one := measure(64), measure(1)
	got := ratio.Median(t, pairs, many, one)
	if got > 2 {
		t.Errorf("a delivery takes %.2f times as long with 64 patterns for each of %d filters as with "+
			"one, want at most 2", got, subscriptions)
	}
}
