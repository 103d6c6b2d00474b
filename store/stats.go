package store

import (
	"math"
	"sync/atomic"
)

// Stats is what a Log has done since it was opened, as of about now.
type Stats struct {
	Queued      int       // requests that wait for the committer
	QueuedBytes int64     // memory of those, and of those that are being committed
	Reading     int       // read transactions that are open
	Trimmed     uint64    // events deleted
	Batches     Histogram // events stored by one commit
	Commits     Histogram // seconds of one commit of any kind, its fsyncs included; those that failed are not in it
	Writes      Histogram // seconds of these that writing to the disk took, two fsyncs each
}

// Histogram is a distribution of values. The caller owns it.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64 // how many values were at most the key; no bucket for all
}

// counters are the numbers behind Stats. The committer writes, but for reading; anybody reads.
type counters struct {
	trimmed atomic.Uint64
	reading atomic.Int64
	batches histogram
	commits histogram
	writes  histogram
}

// Bounds are chosen for what they tell apart: a lone event from a full batch, a cached write from an
// fsync of a solid disk, of a spinning one, and of one that is about to fail.
var (
	batchBounds  = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, commitEvents}
	commitBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func newCounters() *counters {
	return &counters{batches: newHistogram(batchBounds), commits: newHistogram(commitBounds), writes: newHistogram(commitBounds)}
}

// histogram is written by one goroutine.
type histogram struct {
	bounds []float64
	counts []atomic.Uint64 // by bound, and one for what is above all
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

func (h *histogram) read() Histogram {
	r := Histogram{Sum: math.Float64frombits(h.sum.Load()), Buckets: make(map[float64]uint64, len(h.bounds))}
	for i, bound := range h.bounds {
		r.Count += h.counts[i].Load()
		r.Buckets[bound] = r.Count
	}
	r.Count += h.counts[len(h.bounds)].Load()
	return r
}

// Stats implements Log.
func (l *Bolt) Stats() Stats {
	s := Stats{Trimmed: l.counters.trimmed.Load(), Reading: int(l.counters.reading.Load()), Batches: l.counters.batches.read(), Commits: l.counters.commits.read(), Writes: l.counters.writes.read()}
	s.Queued, s.QueuedBytes = l.queue.load()
	return s
}
