package replay_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
	"tidings/store/bolt"
)

// The cost of a delivery without HTTP. docs/BENCHMARKS.md has figures; ratio_test.go has the limits.

// frames is a format with frames as on a stream, all of the same size for benchPayload.
var frames = &replay.Format{Name: "frames", AppendFrame: func(dst []byte, e *store.Event) []byte {
	return sse.AppendEvent(dst, e.ID.String(), "", e.Data)
}}

var (
	benchPayload = make([]byte, 256)
	frameSize    = len(sse.AppendEvent(nil, store.MaxID.String(), "", benchPayload))
)

// BenchmarkFanOut appends batches of 100 events to a topic, and waits until every subscription has the
// last one.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("subscriptions=%d", n), func(b *testing.B) {
			f := newFanOut(b)
			for range n {
				f.subscribe("orders")
			}
			before := f.tail.Stats()
			b.ReportAllocs()
			for b.Loop() {
				f.append("orders", 100)
				f.wait()
			}
			f.report(before)
			b.ReportMetric(float64(n*100*b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkOneOfManyTopics appends batches of 1,000 events to one topic, while other topics have
// subscriptions too, which must cost nothing.
func BenchmarkOneOfManyTopics(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("subscribed=%d", n), func(b *testing.B) {
			f := newFanOut(b)
			for i := range n {
				f.subscribe(fmt.Sprintf("users.%d", i))
			}
			before := f.tail.Stats()
			for b.Loop() {
				f.append("users.7", 1000)
				f.wait()
			}
			f.report(before)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(1000*b.N), "ns/event")
		})
	}
}

// BenchmarkCatchUp replays 20,000 events of a topic that is the whole log, or a hundredth of it, to one
// subscription and to a hundred at once.
func BenchmarkCatchUp(b *testing.B) {
	const events = 20_000
	for _, topics := range []int{1, 100} {
		f := newFanOut(b)
		for range events / 1000 {
			f.fill(topics, 1000)
		}
		for _, n := range []int{1, 100} {
			b.Run(fmt.Sprintf("topics=%d/subscriptions=%d", topics, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var ended sync.WaitGroup
					for range n {
						ended.Go(func() { f.catchUp("users.0", events) })
					}
					ended.Wait()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*events*b.N), "ns/event")
			})
		}
	}
}

// fill appends each events to every topic, one per topic in turn.
func (f *fanOut) fill(topics, each int) {
	drafts := make([]store.Draft, topics*each)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: fmt.Sprintf("users.%d", i%topics), Data: benchPayload}
	}
	for batch := range slices.Chunk(drafts, 1000) {
		if _, err := store.Append(context.Background(), f.log, batch); err != nil {
			f.tb.Fatal(err)
		}
	}
}

// catchUp reads this many events of the topic from the start.
func (f *fanOut) catchUp(topic string, events int) {
	sub, err := f.tail.Subscribe(filter(f.tb, topic), frames, replay.Earliest())
	if err != nil {
		f.tb.Error(err)
		return
	}
	defer sub.Close()
	for got := 0; got < events; {
		chunk, err := sub.Next()
		if err != nil {
			f.tb.Error(err)
			return
		}
		got += chunk.Events
	}
}

// fanOut is a log with subscriptions, each read by a goroutine as a stream would.
type fanOut struct {
	tb     testing.TB
	log    store.Log
	tail   *replay.Tail
	topics map[string]int // number of subscriptions
	due    int            // deliveries expected so far
	got    atomic.Int64
	caught chan struct{} // receives when got reaches due
	goal   atomic.Int64
	stop   chan struct{}
	ended  sync.WaitGroup
}

func newFanOut(tb testing.TB) *fanOut {
	tb.Helper()
	log, err := bolt.Open(tb.TempDir(), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	f := &fanOut{tb: tb, log: log, tail: replay.NewTail(log, replay.TailOptions{}),
		topics: map[string]int{},
		caught: make(chan struct{}, 1), stop: make(chan struct{})}
	tb.Cleanup(func() {
		close(f.stop)
		f.ended.Wait()
		f.tail.Close()
		if err := log.Close(); err != nil {
			tb.Error(err)
		}
	})
	return f
}

func (f *fanOut) subscribe(topic string) {
	f.tb.Helper()
	filter, err := store.NewFilter(topic)
	if err != nil {
		f.tb.Fatal(err)
	}
	sub, err := f.tail.Subscribe(filter, frames, replay.Latest())
	if err != nil {
		f.tb.Fatal(err)
	}
	f.topics[topic]++
	f.ended.Go(func() {
		defer sub.Close()
		f.follow(sub)
	})
}

func (f *fanOut) follow(sub *replay.Subscription) {
	for {
		chunk, err := sub.Next()
		if err != nil {
			f.tb.Error(err)
			return
		}
		if len(chunk.Frames) == 0 && !chunk.More {
			select {
			case <-sub.Ready():
			case <-f.stop:
				return
			}
			continue
		}
		size := 0
		for _, frames := range chunk.Frames {
			size += len(frames)
		}
		if got := f.got.Add(int64(size / frameSize)); got == f.goal.Load() {
			f.caught <- struct{}{}
		}
	}
}

// append appends n events to the topic; wait must follow.
func (f *fanOut) append(topic string, n int) {
	f.due += n * f.topics[topic]
	f.goal.Store(int64(f.due))
	drafts := make([]store.Draft, n)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: topic, Data: benchPayload}
	}
	if _, err := store.Append(context.Background(), f.log, drafts); err != nil {
		f.tb.Fatal(err)
	}
}

// wait returns once everything appended has been delivered.
func (f *fanOut) wait() { <-f.caught }

// report reports what the tail did per delivery.
func (f *fanOut) report(before replay.TailStats) {
	b, after := f.tb.(*testing.B), f.tail.Stats()
	deliveries := float64(f.due)
	b.ReportMetric(float64(after.Wakeups-before.Wakeups)/deliveries, "wakeups/delivery")
	b.ReportMetric(float64(after.LogReads-before.LogReads)/deliveries, "log-reads/delivery")
}
