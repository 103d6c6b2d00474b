//go:build bench

package bolt_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/internal/ratio"
	"tidings/replay"
	"tidings/store"
)

// TestRatioPatterns: an append beside readers of 64 patterns that examine all topics takes as long as beside
// as many readers of one.
func TestRatioPatterns(t *testing.T) {
	const pairs, topics, readers = 9, 20_000, 3
	log := openLog(t)
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprintf("u.%d.inbox", i)
	}
	appendN(t, log, topics, names...)
	got := ratio.Median(t, pairs, appendBeside(t, log, readers, manyPatterns(t)),
		appendBeside(t, log, readers, filterOf(t, "u.>")))
	if got > 2 {
		t.Errorf("beside readers of 64 patterns an append takes %.2f of the time beside readers of "+
			"one, want at most 2", got)
	}
}

// appendBeside measures the median time of an append while the readers read the first event of the filter.
func appendBeside(t *testing.T, log store.Log, readers int, f store.Filter) func() float64 {
	return func() float64 {
		ctx, stop := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		for range readers {
			reading.Go(func() {
				for ctx.Err() == nil {
					if _, err := log.NewReader(f, store.ID{}).Next(1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		took := make([]time.Duration, 60)
		for i := range took {
			start := time.Now()
			appendN(t, log, 1, "u.1.inbox")
			took[i] = time.Since(start)
		}
		stop()
		reading.Wait()
		slices.Sort(took)
		t.Logf("%.20q: p50 %v, max %v", f, took[len(took)/2], took[len(took)-1])
		return took[len(took)/2].Seconds()
	}
}

// TestRatioLast: asking for more of the newest events than exist costs what the first event costs, and the
// newest of many topics behind many events of others cost what they cost without those.
func TestRatioLast(t *testing.T) {
	const pairs = 101
	small, large := openLog(t), openLog(t)
	fill(t, small, 100, 2000)
	fill(t, large, 100, 200_000)
	for _, pattern := range []string{">", "*.>", "none.>"} {
		last := func(log store.Log) func() error {
			return func() error {
				_, err := log.Newest(filterOf(t, pattern), store.MaxID, math.MaxInt32, math.MaxInt)
				return err
			}
		}
		got := ratio.Median(t, pairs, seconds(t, last(large)), seconds(t, last(small)))
		if got > 4 { // the first few thousand records are examined
			t.Errorf("the newest of %q take %.2f times as long of 200,000 events as of 2,000, "+
				"want at most 4", pattern, got)
		}
	}
}

// BenchmarkBack reads a page of the newest events of 4,000 topics behind 40,000 events of others.
func BenchmarkBack(b *testing.B) {
	log := openLog(b)
	names := make([]string, 4000)
	for i := range names {
		names[i] = fmt.Sprintf("u.%d.inbox", i)
	}
	appendN(b, log, 3*len(names), names...)
	appendN(b, log, 40_000, "other")
	for b.Loop() {
		if _, err := replay.Back(log, filterOf(b, "u.>"), store.MaxID, 1000, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRatioFirst: the first event of a topic costs as much when many follow it.
func TestRatioFirst(t *testing.T) {
	const pairs, topics = 101, 10
	few, many := openLog(t), openLog(t)
	name := fill(t, few, topics, 10*topics)[0]
	fill(t, many, topics, 5000*topics)
	first := func(log store.Log) func() error {
		return func() error {
			_, err := log.NewReader(filterOf(t, name), store.ID{}).Next(1)
			return err
		}
	}
	got := ratio.Median(t, pairs, seconds(t, first(many)), seconds(t, first(few)))
	if got > 20 { // a stretch of 128 instead of one of 10
		t.Errorf("the first of 5,000 events takes %.2f times as long as the first of 10, want at most "+
			"20", got)
	}
}
