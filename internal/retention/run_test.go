package retention_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/clock"
	"tidings/internal/retention"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// failing is a log whose Retain returns err, as often as set.
type failing struct {
	store.Log
	err   error
	times atomic.Int32
}

func (f *failing) Retain(ctx context.Context, keep store.Retention) (int, error) {
	if f.times.Add(-1) >= 0 {
		return 0, f.err
	}
	return f.Log.Retain(ctx, keep)
}

func keepMinute() retention.Policy {
	return retention.Policy{Age: []retention.Limit[time.Duration]{{Max: time.Minute}}}
}

// bubbleClock is a clock that follows the time of a synctest bubble.
func bubbleClock() *clock.Clock {
	began := time.Now()
	return clock.New(clock.Options{Elapsed: func() time.Duration { return time.Since(began) }})
}

func count(t *testing.T, log store.Log) uint64 {
	t.Helper()
	info, err := log.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.Events
}

// TestRun: a pass at once, one at every interval, each event deleted by the first pass after its time; the next pass
// makes up for one that fails; the end of the context is the end.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &failing{Log: storetest.NewModel(storetest.Options{}), err: store.ErrNoSpace}
		appendOne(t, log, "a", 1)
		time.Sleep(61 * time.Second) // on the bubble's clock
		trimmer, err := retention.New(log, keepMinute())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			trimmer.Run(ctx, 10*time.Second, bubbleClock(), slog.New(slog.DiscardHandler))
		}()
		synctest.Wait()
		if n := count(t, log); n != 0 {
			t.Fatalf("%d events are left by the first pass, want none", n)
		}
		appendOne(t, log, "a", 1)
		for _, step := range []struct {
			after time.Duration
			fail  int32
			left  uint64
		}{
			{60 * time.Second, 0, 1}, // exactly a minute old
			{9 * time.Second, 0, 1},
			{time.Second, 1, 1}, // no space
			{9 * time.Second, 0, 1},
			{time.Second, 0, 0},
		} {
			log.times.Store(step.fail)
			time.Sleep(step.after)
			synctest.Wait()
			if n := count(t, log); n != step.left {
				t.Fatalf("after %v more: %d events, want %d", step.after, n, step.left)
			}
		}
		stop()
		<-ended
	})
}

// TestRunEnds: a log that accepts no more writes needs no trimming, whichever error it returns.
func TestRunEnds(t *testing.T) {
	for _, err := range []error{store.ErrClosed, store.ErrFailed,
		errors.Join(store.ErrOutcomeUnknown, store.ErrFailed)} {
		synctest.Test(t, func(t *testing.T) {
			log := &failing{Log: storetest.NewModel(storetest.Options{}), err: err}
			log.times.Store(1)
			appendOne(t, log, "a", 1)
			trimmer, newErr := retention.New(log, keepMinute())
			if newErr != nil {
				t.Fatal(newErr)
			}
			trimmer.Run(t.Context(), time.Second, bubbleClock(),
				slog.New(slog.DiscardHandler))
		})
	}
}

// TestTopicsShareCommits: topics that exceed a limit are not trimmed in a commit each.
func TestTopicsShareCommits(t *testing.T) {
	log, err := bolt.Open(t.TempDir(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const topics = 300
	var drafts []store.Draft
	for i := range 3 * topics {
		drafts = append(drafts, store.Draft{Topic: fmt.Sprintf("user.%d", i%topics)})
	}
	if _, err := store.Append(t.Context(), log, drafts); err != nil {
		t.Fatal(err)
	}
	trimmer, err := retention.New(log,
		retention.Policy{Events: []retention.Limit[uint64]{{Pattern: "user.*", Max: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	before := log.Stats().Commits.Count
	if n, err := trimmer.Trim(t.Context(), time.Now()); err != nil || n != 2*topics {
		t.Fatalf("trimmed %d events (%v), want %d", n, err, 2*topics)
	}
	if commits := log.Stats().Commits.Count - before; commits > 2*topics/100 {
		t.Errorf("%d events of %d topics went in %d commits, want about 100 in each", 2*topics,
			topics, commits)
	}
	storetest.Check(t, log)
}

// TestTopicsGather: with limits of topics a pass that comes too soon leaves everything to a later one, also what the
// log as a whole exceeds, which may be what a topic exceeds. Without, each pass counts.
func TestTopicsGather(t *testing.T) {
	whole := retention.Policy{Events: []retention.Limit[uint64]{{Max: 3}}}
	both := retention.Policy{Events: []retention.Limit[uint64]{{Max: 3}, {Pattern: "a", Max: 2}}}
	start := time.Now()
	for _, c := range []struct {
		policy retention.Policy
		after  time.Duration
		left   uint64
	}{
		{whole, 0, 3}, {whole, time.Second - 1, 3},
		// the clock was set back
		{both, 0, 5}, {both, time.Second - 1, 5}, {both, time.Second, 3}, {both, -1, 3},
	} {
		log := storetest.NewModel(storetest.Options{})
		trimmer, err := retention.New(log, c.policy)
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range []time.Duration{0, c.after} {
			if i == 1 {
				for _, topic := range []string{"b", "b", "a", "a", "a"} {
					appendOne(t, log, topic, 1)
				}
			}
			if _, err := trimmer.Trim(t.Context(), start.Add(at)); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, log); n != c.left {
			t.Errorf("%+v, %v after the first pass: %d events are left, want %d", c.policy,
				c.after, n, c.left)
		}
	}
}
