package replay_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

// filtersOf returns distinct filters that all match the topic.
func filtersOf(t *testing.T, topic string, n int) []store.Filter {
	filters := make([]store.Filter, n)
	for i := range filters {
		filters[i] = filter(t, topic, fmt.Sprintf("x.%d", i))
	}
	return filters
}

// TestFeedsShareLargeFrames: however many filters want an event, its frame is made once and held in
// memory once.
func TestFeedsShareLargeFrames(t *testing.T) {
	const size, feeds = 1 << 20, 80
	log := storetest.NewModel(storetest.Options{})
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	var made atomic.Int32
	format := &replay.Format{AppendFrame: func(dst []byte, e *store.Event) []byte {
		made.Add(1)
		return append(dst, e.Data...)
	}}
	var subs []*replay.Subscription
	for _, f := range filtersOf(t, "big", feeds) {
		sub, err := tail.Subscribe(f, format, replay.Latest())
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		subs = append(subs, sub)
	}
	drafts := []store.Draft{{Topic: "big", Data: []byte("small")},
		{Topic: "big", Data: bytes.Repeat([]byte("b"), size)}, {Topic: "big", Data: []byte("last")}}
	if _, err := store.Append(t.Context(), log, drafts); err != nil {
		t.Fatal(err)
	}
	for i, sub := range subs {
		for got, want := 0, len("small")+size+len("last"); got < want; {
			chunk, ok := sub.TryNext()
			if !ok {
				t.Fatalf("subscription %d got %d bytes from memory, want %d", i, got, want)
			}
			if chunk.CaughtUp() {
				<-sub.Ready()
			}
			got += len(bytes.Join(chunk.Frames, nil))
		}
	}
	if got := made.Load(); got > 3*2 { // the batch may come in two pages
		t.Errorf("%d frames made of 3 events", got)
	}
	if got := tail.Stats().Bytes; got > 2*size {
		t.Errorf("%d bytes in memory for %d feeds of an event of %d", got, feeds, size)
	}
	for _, sub := range subs {
		sub.Close()
	}
	if got := tail.Stats().Bytes; got != 0 {
		t.Errorf("%d bytes in memory after the last subscription", got)
	}
}

// TestEncodesWithoutTheLock: subscriptions can begin while an event is being encoded, and get it.
func TestEncodesWithoutTheLock(t *testing.T) {
	log := storetest.NewModel(storetest.Options{})
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	start := replay.After(publish(t, log, "first")[0].String())
	late := make(chan *replay.Subscription, 1)
	var once atomic.Bool
	format := &replay.Format{AppendFrame: func(dst []byte, e *store.Event) []byte {
		if once.CompareAndSwap(false, true) {
			sub, err := tail.Subscribe(store.All(), ids, start)
			if err != nil {
				t.Error(err)
			}
			late <- sub
		}
		return append(dst, e.Data...)
	}}
	early, err := tail.Subscribe(store.All(), format, replay.Latest())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	want := publish(t, log, "second")
	sub := <-late
	defer sub.Close()
	if got := events(drain(t, log, sub)); len(got) != 1 || got[0] != want[0] {
		t.Errorf("who came while the event was encoded got %v, want %v", got, want)
	}
}
