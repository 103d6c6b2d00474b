//go:build bench

package bolt_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/store"
)

// TestRatioPatterns: an append beside readers of 64 patterns that look at all topics takes what it
// takes beside as many readers of one.
func TestRatioPatterns(t *testing.T) {
	const pairs, topics, readers = 9, 20_000, 3
	log := openLog(t)
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprintf("u.%d.inbox", i)
	}
	appendN(t, log, topics, names...)
	got := medianRatio(t, pairs, appendBeside(t, log, readers, manyPatterns(t)),
		appendBeside(t, log, readers, filterOf(t, "u.>")))
	if got > 2 {
		t.Errorf("beside readers of 64 patterns an append takes %.2f of the time beside readers of "+
			"one, want at most 2", got)
	}
}

// appendBeside measures the median time of an append while the readers ask for the first event of
// the filter.
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
