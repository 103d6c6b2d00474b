//go:build bench

package bolt_test

import (
	"testing"
	"time"

	"tidings/internal/ratio"
	"tidings/store"
)

// These tests assert a ratio of two things measured in turns, A B A B …, in one run: the machine may be slow
// or busy, as long as it is so for both. The figure is the median of the pairs' ratios.

func TestRatioAppend(t *testing.T) {
	const pairs, size, writers = 101, 256, 64
	log, bare := openLog(t), openBare(t)
	topics := fill(t, log, 10_000, 10_000)
	got := ratio.Median(t, pairs,
		rate(t, writers, func() error { return appendOne(log, topics, size) }),
		rate(t, writers, func() error { return bare.append(payload[:size]) }))
	if got < 0.8 {
		t.Errorf("%d writers to 10,000 topics reach %.2f of a bare group commit's rate, want 0.8",
			writers, got)
	}
}

func TestRatioAppendAlone(t *testing.T) {
	const pairs, size = 4000, 256
	log, bare := openLog(t), openBare(t)
	topics := fill(t, log, 10_000, 10_000)
	got := ratio.Median(t, pairs,
		seconds(t, func() error { return appendOne(log, topics, size) }),
		seconds(t, func() error { return bare.appendAlone(payload[:size]) }))
	if got > 1.3 {
		t.Errorf("an append takes %.2f of the time of a bare transaction, want at most 1.3", got)
	}
}

func TestRatioResume(t *testing.T) {
	const pairs = 4000
	small, large := openLog(t), openLog(t)
	fill(t, small, 1000, 10_000)
	fill(t, large, 1000, 10_000_000)
	atSmall, atLarge := cursor(t, small), cursor(t, large)
	for _, c := range resumes {
		t.Run(c.name, func(t *testing.T) {
			f := filter(t, c.pattern)
			got := ratio.Median(t, pairs,
				seconds(t, func() error { resume(t, large, f, atLarge); return nil }),
				seconds(t, func() error { resume(t, small, f, atSmall); return nil }))
			if got > 1.5 {
				t.Errorf(
					"resuming takes %.2f times as long at 10,000,000 events as at 10,000, want at most 1.5",
					got)
			}
		})
	}
}

// TestRatioDense is for the many logs with a single topic.
func TestRatioDense(t *testing.T) {
	const pairs = 101
	log := openLog(t)
	topic := fill(t, log, 1, 200_000)[0]
	whole := func(f store.Filter) func() error {
		return func() error {
			for r, page := log.NewReader(f, store.ID{}),
				(store.Page{}); page.Through != log.Head(); {
				page = read(t, r)
			}
			return nil
		}
	}
	got := ratio.Median(t, pairs, seconds(t, whole(filter(t, topic))),
		seconds(t, whole(store.All())))
	if got > 1.4 {
		t.Errorf(
			"a topic that holds the whole log takes %.2f of the time of everything, want at most 1.4",
			got)
	}
}

// TestRatioStretch is for a topic that is rare in the log, but is everything after the cursor.
func TestRatioStretch(t *testing.T) {
	const pairs, stretch = 101, 20_000
	log := openLog(t)
	fill(t, log, 100, 1_000_000)
	at := log.Head()
	topic := fill(t, log, 1, stretch)[0] // one of the hundred
	rest := func(f store.Filter) func() error {
		return func() error {
			for r, page := log.NewReader(f, at), (store.Page{}); page.Through != log.Head(); {
				page = read(t, r)
			}
			return nil
		}
	}
	got := ratio.Median(t, pairs, seconds(t, rest(filter(t, topic))), seconds(t, rest(store.All())))
	if got > 1.4 {
		t.Errorf("a topic that holds all after the cursor takes %.2f of the time of everything there, "+
			"want at most 1.4", got)
	}
}

// rate measures how many calls a second the given number of goroutines make.
func rate(t *testing.T, writers int, call func() error) func() float64 {
	return func() float64 {
		start := time.Now()
		calls := makeCalls(t, writers, call, func(int) bool {
			return time.Since(start) < 150*time.Millisecond
		})
		return float64(len(calls)) / time.Since(start).Seconds()
	}
}

// seconds measures how long one call takes.
func seconds(t *testing.T, call func() error) func() float64 {
	return func() float64 {
		start := time.Now()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		return time.Since(start).Seconds()
	}
}
