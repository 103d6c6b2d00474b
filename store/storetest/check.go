package storetest

import (
	"errors"
	"math"

	"tidings/store"
)

// Check compares everything that a healthy log reports about itself: what it reads from the start, by ID,
// by topic and from its end, its topics, its totals, its head and what was trimmed. It needs an open log
// that nobody writes to, reads all of it several times, and belongs in the Cleanup of every test that has
// a log.
func Check(t TB, log store.Log) {
	t.Helper()
	r := read(t, log, store.Everything(), store.ID{})
	r.expectTrimmed("from the start", log.Trimmed())
	events := read(t, log, store.Everything(), store.ID{}).drain(pageSize)
	for i, e := range events {
		got, err := log.Get(e.ID)
		if err != nil {
			t.Fatalf("event %d of %d (%s) was read but cannot be got: %v", i+1,
				len(events), e.ID, err)
		}
		if d := difference([]store.Event{got}, events[i:i+1]); d != "" {
			t.Fatalf("event %d of %d (%s) is another one by its ID: %s", i+1, len(events), e.ID, d)
		}
	}
	for _, n := range []int{0, 1, 2, len(events) / 2, len(events), len(events) + 1} {
		checkNewest(t, log, events, store.Everything(), store.MaxID, n)
	}
	checkTopics(t, log, events)
	checkInfo(t, log, events)
	ready := log.Ready()
	if errors.Is(ready, store.ErrFailed) {
		t.Fatalf("the log has failed: %v", ready)
	}
	select {
	case <-log.Failed():
		t.Fatalf("Failed is closed, but Ready is %v", ready)
	default:
	}
}

// checkTopics compares Topics with the retained events, and each topic's own reader with both.
func checkTopics(t TB, log store.Log, events []store.Event) {
	t.Helper()
	byTopic := make(map[string][]store.Event)
	for _, e := range events {
		byTopic[e.Topic] = append(byTopic[e.Topic], e)
	}
	listed := make(map[string]bool)
	for info := range log.Topics(store.Everything()) {
		if listed[info.Topic] {
			t.Fatalf("topic %q is listed twice", info.Topic)
		}
		listed[info.Topic] = true
		checkTopic(t, log, info, byTopic[info.Topic])
		delete(byTopic, info.Topic)
	}
	for topic, list := range byTopic {
		t.Fatalf("topic %q has %d events but is not listed", topic, len(list))
	}
}

func checkTopic(t TB, log store.Log, info store.TopicInfo, events []store.Event) {
	t.Helper()
	want := store.TopicInfo{Topic: info.Topic, Count: uint64(len(events)), Bytes: info.Bytes,
		Trimmed: info.Trimmed, Ended: info.Ended}
	if len(events) > 0 {
		want.First, want.Last = events[0].ID, events[len(events)-1].ID
	}
	switch {
	case info != want:
		t.Fatalf("topic %q: count %d, first %s, last %s; its events say %d, %s, %s",
			info.Topic, info.Count, info.First, info.Last, want.Count, want.First, want.Last)
	case info.Count == 0 && info.Bytes != 0:
		t.Fatalf("topic %q is empty but has %d bytes", info.Topic, info.Bytes)
	case info.Count == 0 && info.Trimmed.IsZero():
		t.Fatalf(
			"topic %q has no events and lost none: it was never appended to, or its trimmed "+
				"mark is lost",
			info.Topic)
	case info.Count > 0 && !info.Trimmed.Before(info.First):
		t.Fatalf("topic %q: trimmed up to %s, but its first event is %s", info.Topic,
			info.Trimmed, info.First)
	case log.Trimmed().Before(info.Trimmed):
		t.Fatalf("topic %q is trimmed up to %s, the log only up to %s", info.Topic, info.Trimmed,
			log.Trimmed())
	case log.Head().Before(info.Trimmed):
		t.Fatalf("topic %q: trimmed above the head: %s, the head is %s", info.Topic,
			info.Trimmed, log.Head())
	}
	f := filter(t, info.Topic)
	read(t, log, f, store.ID{}).expectTrimmed("from the start", info.Trimmed)
	read(t, log, f, store.ID{}).expect(pageSize, events)
}

// checkInfo compares Info with the retained events and the sums over the topics.
func checkInfo(t TB, log store.Log, events []store.Event) {
	t.Helper()
	got, err := log.Info()
	if err != nil {
		t.Fatalf("info: %v", err)
	}
	want := store.Info{LogID: got.LogID, Engine: got.Engine, DiskBytes: got.DiskBytes,
		Events: uint64(len(events)), Keys: got.Keys, OldestKey: got.OldestKey, Marks: got.Marks}
	if len(events) > 0 {
		want.First, want.Last = events[0].ID, events[len(events)-1].ID
	}
	for topic := range log.Topics(store.Everything()) {
		want.Topics++
		if topic.Count == 0 {
			want.Bare++
		}
		want.Bytes += topic.Bytes
	}
	if got != want {
		t.Fatalf("info says %+v, events and topics add up to %+v", got, want)
	}
	if got.LogID.IsZero() || got.Engine == "" {
		t.Fatalf("info has no log id or no engine: %+v", got)
	}
}

// checkNewest compares Newest with its definition over the retained events.
func checkNewest(t TB, log store.Log, events []store.Event, f store.Filter,
	before store.ID, n int) {
	t.Helper()
	got, err := log.Newest(f, before, n, math.MaxInt)
	if err != nil {
		t.Fatalf("newest %d of %q before %s: %v", n, f, before, err)
	}
	older := preceding(matching(events, f, store.ID{}), before)
	if len(older) == 0 {
		if head := log.Head(); head.Before(got) || !got.IsZero() && !got.Before(before) {
			t.Fatalf(
				"newest %d of %q before %s is %s without any event; it must be below that and "+
					"not above the head %s",
				n,
				f, before, got, head)
		}
		return
	}
	want := older[0].ID.Prev()
	if n < len(older) {
		want = older[len(older)-n-1].ID
	}
	if got == want {
		return
	}
	follow := len(preceding(matching(events, f, got), before))
	t.Fatalf("newest %d of %q before %s is %s, after which %d follow, not %d; want %s",
		n, f, before, got, follow, min(n, len(older)), want)
}
