//go:build bench

package bolt_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"tidings/internal/ratio"
	"tidings/internal/retention"
	"tidings/store"
	"tidings/store/bolt"
)

// TestRatioTrim: publishers hardly notice that the log is continuously trimmed, as fast as they publish; the
// file then keeps its size, and is small once it is compacted.
func TestRatioTrim(t *testing.T) {
	const pairs = 25
	for _, c := range []struct {
		name   string
		topics int
		policy retention.Policy
		most   float64
	}{
		{"10 topics", 10, keepNewest("", 100_000), 1.2},
		{"1,000 topics", 1000, keepNewest("", 100_000), 1.2},
		// The deleted events are spread over the log: a few on each page that is written.
		{"1,000 topics with limits of their own", 1000, keepNewest(">", 100), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			trimmed, whole := openFull(t, c.topics, c.policy),
				openFull(t, c.topics, retention.Policy{})
			got := ratio.Median(t, pairs, trimmed.publish(t), whole.publish(t))
			t.Logf("p99 in ms: median %.2f while it is trimmed, %.2f without; %.2f, %.2f",
				median(trimmed.p99), median(whole.p99), trimmed.p99, whole.p99)
			if got > c.most {
				t.Errorf(
					"the p99 of publishing is %.2f times as long while the log is trimmed, want at most %.1f",
					got, c.most)
			}
			trimmed.checkSize(t)
		})
	}
}

func keepNewest(pattern string, n uint64) retention.Policy {
	return retention.Policy{Events: []retention.Limit[uint64]{{Pattern: pattern, Max: n}}}
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

// trimmedLog is a log that is at its limits.
type trimmedLog struct {
	store.Log
	dir     string
	topics  []string
	policy  retention.Policy
	trimmer *retention.Trimmer
	trimmed int

	// After each call of publish.
	p99   []float64 // ms
	sizes []int64   // of the file, in KiB
}

func openFull(t *testing.T, topics int, p retention.Policy) *trimmedLog {
	t.Helper()
	l := &trimmedLog{dir: t.TempDir(), policy: p}
	var err error
	if l.Log, err = bolt.Open(l.dir, bolt.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	l.topics = fill(t, l, topics, topics)
	for i := range 100 {
		drafts := make([]store.Draft, 1000)
		for j := range drafts {
			drafts[j] = store.Draft{Topic: l.topics[(1000*i+j)%topics], Data: payload[:256]}
		}
		if _, err := store.Append(t.Context(), l, drafts); err != nil {
			t.Fatal(err)
		}
	}
	if l.trimmer, err = retention.New(l, p); err != nil {
		t.Fatal(err)
	}
	return l
}

// publish has 64 publishers append for a while, and the log trimmed whenever it exceeds its limits. It
// measures the 99th percentile of the duration of an append.
func (l *trimmedLog) publish(t *testing.T) func() float64 {
	return func() float64 {
		ctx, stop := context.WithCancel(t.Context())
		trimmed := make(chan int)
		go func() { trimmed <- l.trim(ctx, t) }()
		start := time.Now()
		calls := makeCalls(t, 64, func() error { return appendOne(l, l.topics, 256) },
			func(int) bool { return time.Since(start) < 600*time.Millisecond })
		stop()
		l.trimmed += <-trimmed
		slices.Sort(calls)
		p99 := calls[len(calls)*99/100].Seconds() * 1000
		l.p99 = append(l.p99, p99)
		l.sizes = append(l.sizes, info(t, l).DiskBytes>>10)
		return p99
	}
}

// trim makes a pass after each commit, until ctx ends.
func (l *trimmedLog) trim(ctx context.Context, t *testing.T) (deleted int) {
	for ctx.Err() == nil && !l.policy.IsZero() {
		head := l.Head()
		n, err := l.trimmer.Trim(context.WithoutCancel(ctx), time.Now())
		if err != nil {
			t.Error(err)
			return deleted
		}
		deleted += n
		_ = l.Wait(ctx, head) // the loop sees that ctx has ended
	}
	return deleted
}

// growth is how much bbolt enlarges the file at once, in KiB.
const growth = 16 << 10

// checkSize: the file has stopped growing, except for what a second of publishing may add, and is small once
// it is compacted.
func (l *trimmedLog) checkSize(t *testing.T) {
	t.Helper()
	t.Logf("%d events were trimmed; KiB of the file: %d", l.trimmed, l.sizes)
	if half, last := l.sizes[len(l.sizes)/2], l.sizes[len(l.sizes)-1]; last > half+growth {
		t.Errorf("the file went on growing from %d to %d KiB", half, last)
	}
	live := info(t, l).Bytes
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, compacted, err := bolt.Compact(t.Context(), l.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	ratio := float64(compacted) / float64(live)
	t.Logf("%d KiB of records are %d KiB compacted, %.2f times as much", live>>10,
		compacted>>10, ratio)
	if ratio >= 1.3 {
		t.Errorf("the compacted file has %.2f times the bytes of the records, want less than 1.3",
			ratio)
	}
}
