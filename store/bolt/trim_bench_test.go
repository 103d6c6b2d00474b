package bolt_test

import (
	"fmt"
	"testing"
	"time"

	"tidings/store"
	"tidings/store/bolt"
)

// BenchmarkTrim deletes the events of a log, in steps of a trim.
func BenchmarkTrim(b *testing.B) {
	for _, topics := range []int{10, 1000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			names := make([]string, topics)
			for i := range names {
				names[i] = fmt.Sprintf("t.%d", i)
			}
			log := openAt(b, b.TempDir(), bolt.Options{})
			const events = 20_000
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				appendN(b, log, events, names...)
				b.StartTimer()
				began := time.Now()
				n, err := log.Trim(b.Context(), store.All(), store.MaxID)
				if err != nil || n != events {
					b.Fatalf("trimmed %d, %v", n, err)
				}
				spent += time.Since(began)
			}
			b.ReportMetric(float64(b.N*events)/spent.Seconds(), "events/s")
		})
	}
}
