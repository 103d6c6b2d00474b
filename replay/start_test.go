package replay_test

import (
	"testing"

	"tidings/replay"
	"tidings/store"
)

// lagging is a log that does not show its trimmed ID yet, as during the fsync of the trim.
type lagging struct{ store.Log }

func (lagging) Trimmed() store.ID { return store.ID{} }

// TestStartsWhileTrimming: a start that asks for what exists gets no gap for events trimmed before it.
func TestStartsWhileTrimming(t *testing.T) {
	log := newLog(t)
	all := publish(t, log, "a", "b", "a", "b", "a", "b")
	trim(t, log, "a", all[5])
	tail := replay.NewTail(lagging{log}, replay.TailOptions{})
	t.Cleanup(tail.Close)
	for name, start := range map[string]replay.Start{"last": replay.Last(10),
		"last, with something trimmed behind it": replay.Last(2), "earliest": replay.Earliest(),
		"zero": replay.After(store.ID{}.String())} {
		t.Run(name, func(t *testing.T) {
			for _, got := range drain(t, log, subscribe(t, tail, filter(t, "a", "b"), start)) {
				if got.gap != nil {
					t.Errorf("told %+v", got.gap)
				}
			}
		})
	}
}

// TestStartsBeforeTrimming: events that are published after a stream began and trimmed before it read them
// are reported as a gap, wherever the stream began.
func TestStartsBeforeTrimming(t *testing.T) {
	for name, start := range map[string]replay.Start{"latest": replay.Latest(), "last": replay.Last(0),
		"last of some": replay.Last(3), "earliest": replay.Earliest(),
		"zero": replay.After(store.ID{}.String())} {
		for _, first := range []int{0, 1} {
			t.Run(name, func(t *testing.T) {
				log := newLog(t)
				tail := replay.NewTail(log, replay.TailOptions{Bytes: -1})
				t.Cleanup(tail.Close)
				for range first {
					publish(t, log, "a")
				}
				sub := subscribe(t, tail, filter(t, "a"), start)
				gone := publish(t, log, "a", "a")
				next := publish(t, log, "a")[0]
				trim(t, log, "a", next)
				got := drain(t, log, sub)
				if len(got) != 2 || got[0].gap == nil || got[0].gap.Reason != replay.Expired ||
					got[0].gap.Through != gone[1] || got[1].id != next {
					t.Errorf("with %d events before: told %+v, want a gap through %s, then %s", first, got,
						gone[1], next)
				}
			})
		}
	}
}

// TestGapNamesThePosition: a later gap names where the stream was, not where it began.
func TestGapNamesThePosition(t *testing.T) {
	eachTail(t, func(t *testing.T, log store.Log, tail *replay.Tail) {
		first := publish(t, log, "a")[0]
		sub := subscribe(t, tail, filter(t, "a"), replay.After(first.String()))
		drain(t, log, sub)
		last := publish(t, log, "a")[0]
		drain(t, log, sub)
		publish(t, log, "a")
		trim(t, log, "a", publish(t, log, "a")[0])
		got := drain(t, log, sub)
		if len(got) == 0 || got[0].gap != nil && got[0].gap.Requested != last.String() {
			t.Errorf("told %+v, want a gap after %s, or all events", got[0].gap, last)
		}
	})
}

func trim(t *testing.T, log store.Log, pattern string, before store.ID) {
	t.Helper()
	if _, err := log.Trim(t.Context(), filter(t, pattern), before); err != nil {
		t.Fatal(err)
	}
}
