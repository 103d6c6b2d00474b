package bolt_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/store"
	"tidings/store/bolt"
)

// How fast the log reads, and how fast it appends compared with the least that bbolt can do (bare_test.go).
// docs/BENCHMARKS.md has figures; ratio_test.go holds the limits.

func BenchmarkAppend(b *testing.B) {
	for _, topics := range []int{10, 10_000} {
		for _, size := range []int{100, 1000, 10_000} {
			for _, writers := range []int{1, 64, 256} {
				b.Run(fmt.Sprintf("topics=%d/size=%d/writers=%d", topics, size, writers),
					func(b *testing.B) {
						log := openLog(b)
						names := fill(b, log, topics, topics)
						before := info(b, log)
						drive(b, writers, func() error { return appendOne(log, names, size) })
						after := info(b, log)
						b.ReportMetric(float64(after.Bytes-before.Bytes)/float64(b.N),
							"record-B/event")
					})
			}
		}
	}
}

func BenchmarkAppendBatch(b *testing.B) {
	const events = 1000
	for _, topics := range []int{10, 10_000} {
		for _, size := range []int{100, 1000} {
			b.Run(fmt.Sprintf("topics=%d/size=%d", topics, size), func(b *testing.B) {
				log := openLog(b)
				names := fill(b, log, topics, topics)
				drafts := make([]store.Draft, events)
				for b.Loop() {
					for i := range drafts {
						drafts[i] = store.Draft{Topic: names[rand.IntN(topics)],
							Data: payload[:size]}
					}
					if _, err := store.Append(context.Background(), log, drafts); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

func BenchmarkBareGroupCommit(b *testing.B) {
	for _, size := range []int{100, 1000} {
		for _, writers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("size=%d/writers=%d", size, writers), func(b *testing.B) {
				bare := openBare(b)
				drive(b, writers, func() error { return bare.append(payload[:size]) })
			})
		}
	}
}

func BenchmarkBareTransaction(b *testing.B) {
	bare := openBare(b)
	drive(b, 1, func() error { return bare.appendAlone(payload[:100]) })
}

func BenchmarkRead(b *testing.B) {
	for _, c := range reads {
		log := openLog(b)
		fill(b, log, c.topics, 1_000_000)
		for _, pattern := range c.patterns {
			b.Run(fmt.Sprintf("topics=%d/%s", c.topics, pattern), func(b *testing.B) {
				f, events := filter(b, pattern), 0
				r := log.NewReader(f, store.ID{})
				for b.Loop() {
					page := read(b, r)
					events += len(page.Events)
					if !page.Through.Before(log.Head()) {
						r = log.NewReader(f, store.ID{})
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
				b.ReportMetric(float64(info(b, log).DiskBytes)/1_000_000, "file-B/event")
				b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// reads are everything, a topic that is everything, one topic in ten, and one in a thousand.
var reads = []struct {
	topics   int
	patterns []string
}{
	{1, []string{">", "shop.0.kind0"}},
	{1000, []string{">", "shop.*.kind3", "shop.50.kind3"}},
}

// BenchmarkResume is the time to the first events after a cursor 1,000 before the end of the log.
func BenchmarkResume(b *testing.B) {
	for _, events := range []int{10_000, 1_000_000} {
		log := openLog(b)
		fill(b, log, 1000, events)
		at := cursor(b, log)
		for _, c := range resumes {
			b.Run(fmt.Sprintf("events=%d/%s", events, c.name), func(b *testing.B) {
				f := filter(b, c.pattern)
				for b.Loop() {
					resume(b, log, f, at)
				}
			})
		}
	}
}

// resumes are the filters of a resume, in a log of 1,000 topics.
var resumes = []struct{ name, pattern string }{
	{"topic", "shop.1.kind1"}, {"wildcard", "shop.*.kind1"}, {"all", ">"},
}

// resume reads the first page of a reader that reconnects.
func resume(tb testing.TB, log store.Log, f store.Filter, at store.ID) {
	if page := read(tb, log.NewReader(f, at)); len(page.Events) == 0 {
		tb.Fatalf("nothing after %v", at)
	}
}

// cursor is the position 1,000 events before the end.
func cursor(tb testing.TB, log store.Log) store.ID {
	tb.Helper()
	at, err := log.Newest(store.All(), store.MaxID, 1000, math.MaxInt)
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

func read(tb testing.TB, r store.Reader) store.Page {
	page, err := r.Next(256)
	if err != nil {
		tb.Fatal(err)
	}
	return page
}

var payload = make([]byte, 10_000)

func openLog(tb testing.TB) store.Log {
	tb.Helper()
	log, err := bolt.Open(tb.TempDir(), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := log.Close(); err != nil {
			tb.Error(err)
		}
	})
	return log
}

func filter(tb testing.TB, patterns ...string) store.Filter {
	tb.Helper()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func info(tb testing.TB, log store.Log) store.Info {
	tb.Helper()
	info, err := log.Info()
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

// fill appends the given number of events of 100 bytes, one to each topic in turn, and returns the topics.
func fill(tb testing.TB, log store.Log, topics, events int) []string {
	tb.Helper()
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprintf("shop.%d.kind%d", i/10, i%10)
	}
	drafts := make([]store.Draft, 0, 1000)
	for i := range events {
		drafts = append(drafts, store.Draft{Topic: names[i%topics], Data: payload[:100]})
		if len(drafts) == cap(drafts) || i == events-1 {
			if _, err := store.Append(context.Background(), log, drafts); err != nil {
				tb.Fatal(err)
			}
			drafts = drafts[:0]
		}
	}
	return names
}

func appendOne(log store.Log, topics []string, size int) error {
	_, err := store.Append(context.Background(), log,
		[]store.Draft{{Topic: topics[rand.IntN(len(topics))], Data: payload[:size]}})
	return err
}

// drive makes the call b.N times from the given number of goroutines and reports rate and latency.
func drive(b *testing.B, writers int, call func() error) {
	b.ReportAllocs()
	b.ResetTimer()
	calls := makeCalls(b, writers, call, func(done int) bool { return done <= b.N })
	b.StopTimer()
	slices.Sort(calls)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(calls[len(calls)*99/100].Microseconds()), "p99-µs")
}

// makeCalls makes the call from the given number of goroutines while more returns true for the number of
// calls including this one, and returns how long each took.
func makeCalls(tb testing.TB, writers int, call func() error, more func(int) bool) []time.Duration {
	took := make([][]time.Duration, writers)
	var begun atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for more(int(begun.Add(1))) {
				start := time.Now()
				if err := call(); err != nil {
					tb.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...)
}
