package replay_test

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"testing"

	"tidings/replay"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// ids is a format whose frames are the events' IDs, one per line.
var ids = &replay.Format{Name: "ids", AppendFrame: func(dst []byte, e *store.Event) []byte {
	dst, _ = e.ID.AppendText(dst)
	return append(dst, '\n')
}}

// tails are the sizes of the in-memory tail that everything must work with: the default, none, and one
// that holds a few events, so that subscriptions meet its edge all the time.
var tails = map[string]int64{"default": 0, "none": -1, "tiny": 3000}

// eachTail runs the test on an empty log with each size of the tail.
func eachTail(t *testing.T, test func(t *testing.T, log store.Log, tail *replay.Tail)) {
	for name, bytes := range tails {
		t.Run("tail="+name, func(t *testing.T) {
			log, tail := newLog(t), (*replay.Tail)(nil)
			tail = replay.NewTail(log, replay.TailOptions{Bytes: bytes})
			t.Cleanup(tail.Close)
			test(t, log, tail)
		})
	}
}

func newLog(t testing.TB) store.Log {
	log, err := bolt.Open(t.TempDir(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		storetest.Check(t, log)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func publish(t testing.TB, log store.Log, topics ...string) []store.ID {
	t.Helper()
	drafts := make([]store.Draft, len(topics))
	for i, topic := range topics {
		drafts[i] = store.Draft{Topic: topic, Data: []byte(topic)}
	}
	got, err := store.Append(context.Background(), log, drafts)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func filter(t testing.TB, patterns ...string) store.Filter {
	t.Helper()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func subscribe(t testing.TB, tail *replay.Tail, f store.Filter,
	start replay.Start) *replay.Subscription {
	t.Helper()
	sub, err := tail.Subscribe(f, ids, start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return sub
}

// told is one thing that a subscription returned: an event or a gap.
type told struct {
	id  store.ID
	gap *replay.Gap
}

// next returns what one call of Next returned; caughtUp if that is nothing.
func next(t testing.TB, sub *replay.Subscription) (got []told, caughtUp bool) {
	t.Helper()
	chunk, err := sub.Next()
	if err != nil {
		t.Fatal(err)
	}
	if chunk.Gap != nil {
		got = append(got, told{gap: chunk.Gap})
	}
	for line := range bytes.Lines(slices.Concat(chunk.Frames...)) {
		id, err := store.ParseID(string(bytes.TrimSpace(line)))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, told{id: id})
	}
	if n := len(events(got)); chunk.Events != n {
		t.Fatalf("the chunk counts %d events, its frames have %d", chunk.Events, n)
	}
	return got, len(got) == 0 && !chunk.More
}

// drain reads until the subscription has read everything up to the head.
func drain(t testing.TB, log store.Log, sub *replay.Subscription) (got []told) {
	t.Helper()
	for {
		more, caughtUp := next(t, sub)
		got = append(got, more...)
		if caughtUp && !sub.Position().Before(log.Head()) {
			return got
		}
		runtime.Gosched() // the tailer may still be at work
	}
}

func events(got []told) (ids []store.ID) {
	for _, g := range got {
		if g.gap == nil {
			ids = append(ids, g.id)
		}
	}
	return ids
}
