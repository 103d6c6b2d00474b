package bolt_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// newest keeps n events of each topic.
func newest(n uint64) store.Retention {
	return eachTopic(func(string) store.Limits { return store.Limits{Events: n} })
}

func eachTopic(limits func(topic string) store.Limits) store.Retention {
	return store.Retention{Topics: store.All(), OfTopic: limits}
}

// TestRetainInOrder: events of many topics are deleted in log order, in full commits, so that few pages are
// written.
func TestRetainInOrder(t *testing.T) {
	var watched atomic.Pointer[func()]
	// the committer reads the clock in each transaction
	log := openAt(t, t.TempDir(), bolt.Options{Now: func() time.Time {
		if watch := watched.Load(); watch != nil {
			(*watch)()
		}
		return time.Now()
	}})
	topics := make([]string, 300)
	for i := range topics {
		topics[i] = fmt.Sprintf("t.%d", i)
	}
	events := appendN(t, log, 5*len(topics), topics...)
	commits := 0
	watch := func() {
		page, err := log.NewReader(store.All(), store.ID{}).Next(1)
		if err != nil || page.Events[0].ID != events[128*commits].ID {
			t.Errorf("after %d commits the oldest event is %v (%v), want %s", commits, page.Events,
				err, events[128*commits].ID)
		}
		commits++
	}
	watched.Store(&watch)
	n, err := log.Retain(t.Context(), newest(2))
	watched.Store(nil)
	if err != nil || n != 3*len(topics) || commits != (n+127)/128 {
		t.Errorf("%d events went in %d commits (%v), want %d, 128 in each", n, commits, err,
			3*len(topics))
	}
	expect(t, log, store.All(), store.ID{}, events[n:])
	storetest.Check(t, log)
}

// TestRetainRounds: retention also deletes more than one search finds, whichever way of reading that takes.
func TestRetainRounds(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	events := appendN(t, log, 1000, "rare", "often.a", "often.b")
	for range 80 {
		events = append(events, appendN(t, log, 1000, "often.a", "often.b", "kept")...)
	}
	events = append(events, appendN(t, log, 1000, "rare", "often.a", "other")...)
	limits := map[string]uint64{"rare": 50, "often.a": 3, "often.b": 7, "kept": 100_000}
	seen := make(map[string]uint64)
	var kept []store.Event
	for _, e := range slices.Backward(events) {
		if seen[e.Topic]++; limits[e.Topic] == 0 || seen[e.Topic] <= limits[e.Topic] {
			kept = append(kept, e)
		}
	}
	slices.Reverse(kept)
	for _, want := range []int{len(events) - len(kept), 0} {
		n, err := log.Retain(t.Context(), eachTopic(func(topic string) store.Limits {
			return store.Limits{Events: limits[topic]}
		}))
		if err != nil || n != want {
			t.Fatalf("retain: %d, %v, want %d", n, err, want)
		}
	}
	expect(t, log, store.All(), store.ID{}, kept)
	storetest.Check(t, log)
}

// TestRetainOfDamage: a damaged record stays where it is and counts; no intact one of any topic is deleted in
// its place.
func TestRetainOfDamage(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	events := appendN(t, log, 30, "a", "b")
	closeLog(t, log)
	alter(t, dir, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("log"))
		value := slices.Clone(b.Get(events[2].ID[:]))
		value[len(value)-1] ^= 1
		return b.Put(events[2].ID[:], value)
	})
	log = openAt(t, dir, bolt.Options{})
	// Fifteen each; ten excess events are found, and one of them may be the damaged one.
	if n, err := log.Retain(t.Context(), newest(5)); err != nil || n != 9+9 {
		t.Errorf("retain: %d, %v, want 18", n, err)
	}
	got, corrupt := drain(t, log, store.All(), store.ID{}, 100)
	if len(corrupt) != 1 || corrupt[0] != events[2].ID {
		t.Errorf("corrupt: %s, want %s", corrupt, events[2].ID)
	}
	for _, e := range events[20:] {
		if !slices.ContainsFunc(got, func(g store.Event) bool { return g.ID == e.ID }) {
			t.Errorf("event %s of %s is gone, one of the newest five", e.ID, e.Topic)
		}
	}
}

// TestRetainBesideTrim: whatever else is trimmed and appended meanwhile, what the limits allow
// stays.
func TestRetainBesideTrim(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	events := appendN(t, log, 6000, "a", "b", "c")
	done := make(chan struct{})
	var others sync.WaitGroup
	for i, f := range []store.Filter{store.All(), filterOf(t, "a", "c")} {
		others.Go(func() {
			for at := i; at < 5000-100*i; at += 20 {
				if _, err := log.Trim(context.Background(), f, events[at].ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	others.Go(func() {
		for range 200 {
			appendAll(t, log, store.Draft{Topic: "b"})
		}
	})
	go func() { others.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if _, err := log.Retain(context.Background(), newest(300)); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range infos(log) {
		if i.Count != 300 {
			t.Errorf("%s has %d events left, want 300", i.Topic, i.Count)
		}
	}
	storetest.Check(t, log)
}

// TestRetainNothing: a pass with nothing to delete allocates nothing per topic, whether the limit is on
// events or age, and whether the topic was trimmed before or not.
func TestRetainNothing(t *testing.T) {
	const each = 4000 // topics
	log := openAt(t, t.TempDir(), bolt.Options{})
	var topics []string
	for i := range each {
		topics = append(topics, fmt.Sprintf("age.%d", i), fmt.Sprintf("events.%d", i))
	}
	events := appendN(t, log, 4*len(topics), topics...)
	limits := eachTopic(func(topic string) store.Limits {
		if strings.HasPrefix(topic, "age") {
			return store.Limits{Before: events[2*len(topics)].ID}
		}
		return store.Limits{Events: 2}
	})
	for _, want := range []int{2 * len(topics), 0} {
		if n, err := log.Retain(t.Context(), limits); err != nil || n != want {
			t.Fatalf("deleted %d events (%v), want %d", n, err, want)
		}
	}
	allocs := testing.AllocsPerRun(5, func() {
		if n, err := log.Retain(t.Context(), limits); err != nil || n != 0 {
			t.Errorf("deleted %d events (%v), want none", n, err)
		}
	})
	if allocs > each/10 {
		t.Errorf("%.0f allocations to find nothing to delete in %d topics", allocs, len(topics))
	}
}
