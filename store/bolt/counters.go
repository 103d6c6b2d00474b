package bolt

import (
	"math"
	"sync/atomic"
	"time"

	"tidings/store"
)

// counters are the numbers behind Stats. The committer writes all but reading; anyone may read.
type counters struct {
	trimmed   atomic.Uint64
	crowded   atomic.Uint64 // idempotency keys
	reading   atomic.Int64
	unchecked atomic.Uint64
	opening   time.Duration             // set before Open returns
	since     atomic.Pointer[time.Time] // when the commit in progress began; nil while there is none
	batches   histogram
	commits   histogram
	writes    histogram
}

// Bounds are chosen to distinguish a lone event from a full batch, and a cached write from an fsync of a
// solid-state disk, of a spinning one, and of one that is about to fail.
var (
	batchBounds  = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, commitEvents}
	commitBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25,
		.5, 1, 2.5, 5, 10}
)

func newCounters() *counters {
	return &counters{batches: newHistogram(batchBounds), commits: newHistogram(commitBounds),
		writes: newHistogram(commitBounds)}
}

// committing is the age of the commit in progress, 0 while there is none.
func (c *counters) committing() time.Duration {
	if since := c.since.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}

// histogram is written by one goroutine.
type histogram struct {
	bounds []float64
	counts []atomic.Uint64 // by bound, plus one above all bounds
	sum    atomic.Uint64   // bits of a float64
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(v float64) {
	i := 0
	for i < len(h.bounds) && h.bounds[i] < v {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Store(math.Float64bits(math.Float64frombits(h.sum.Load()) + v))
}

func (h *histogram) read() store.Histogram {
	r := store.Histogram{Sum: math.Float64frombits(h.sum.Load()),
		Buckets: make(map[float64]uint64, len(h.bounds))}
	for i, bound := range h.bounds {
		r.Count += h.counts[i].Load()
		r.Buckets[bound] = r.Count
	}
	r.Count += h.counts[len(h.bounds)].Load()
	return r
}

// Stats implements store.Log.
func (l *Log) Stats() store.Stats {
	s := store.Stats{Trimmed: l.counters.trimmed.Load(),
		KeysCrowded: l.counters.crowded.Load(), Reading: int(l.counters.reading.Load()),
		Batches: l.counters.batches.read(), Commits: l.counters.commits.read(),
		Writes: l.counters.writes.read(), Committing: l.counters.committing(),
		Opening: l.counters.opening, Unchecked: l.counters.unchecked.Load()}
	s.Queued, s.QueuedBytes = l.queue.load()
	if l.mirror != nil {
		s.Sequence = l.mirror.stats()
	}
	return s
}
