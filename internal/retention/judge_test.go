package retention_test

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/clock"
	"tidings/internal/retention"
	"tidings/store"
	"tidings/store/storetest"
)

const day = 24 * time.Hour

// at is an event that was appended this long before the start.
type at struct {
	topic string
	ago   time.Duration
}

func logOf(t *testing.T, events ...at) store.Log {
	t.Helper()
	now := time.Now()
	started := now
	log := storetest.NewModel(storetest.Options{Now: func() time.Time { return now }})
	for _, e := range events {
		now = started.Add(-e.ago)
		appendOne(t, log, e.topic, 1)
	}
	now = started
	return log
}

func ages(limits ...retention.Limit[time.Duration]) retention.Policy {
	return retention.Policy{Age: limits}
}

// TestJudge: at a start the clock is doubted if the newest events would be deleted, whatever was appended under it
// since, at this start or an earlier one.
func TestJudge(t *testing.T) {
	month := ages(retention.Limit[time.Duration]{Max: 30 * day})
	ofA := ages(retention.Limit[time.Duration]{Pattern: "a", Max: 30 * day})
	for _, c := range []struct {
		name   string
		policy retention.Policy
		events []at
		doubt  bool
	}{
		{"an empty log", month, nil, false},
		{"nothing is old", month, []at{{"a", 29 * day}, {"a", day}}, false},
		{"everything is old", month, []at{{"a", 40 * day}, {"a", 31 * day}}, true},
		{"some are old, as after a while without the server", month,
			[]at{{"a", 40 * day}, {"a", 20 * day}}, false},
		{"an age that is new, or shorter", month,
			[]at{{"a", 90 * day}, {"a", 61 * day}, {"a", 35 * day}, {"a", 31 * day}, {"a", 2 * day},
				{"a", 0}}, false},
		{"appended under the same clock since", month, []at{{"a", 32 * day}, {"a", 31 * day}, {"a", 0}},
			true},
		{"appended under it by another topic", ofA, []at{{"a", 31 * day}, {"b", 0}}, true},
		{"a topic that is always kept", ofA, []at{{"b", 400 * day}, {"b", 300 * day}, {"a", day}}, false},
		{"a topic that is always kept, alone", ofA, []at{{"b", 300 * day}}, false},
		{"a topic that was at rest while others were not", ofA,
			[]at{{"a", 40 * day}, {"b", 31 * day}, {"b", 20 * day}, {"b", 0}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				trimmer, err := retention.New(logOf(t, c.events...), c.policy)
				if err != nil {
					t.Fatal(err)
				}
				clk := bubbleClock()
				if err := trimmer.Judge(clk); err != nil || clk.Doubted() != c.doubt {
					t.Errorf("doubted %v (%v), want %v", clk.Doubted(), err, c.doubt)
				}
			})
		})
	}
}

// TestHold: while the clock is doubted nothing is deleted by age, but by number, even if something is appended; after a
// day without a step, or when somebody confirms the clock, the rest is.
func TestHold(t *testing.T) {
	for _, trust := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log := logOf(t, at{"a", 33 * day}, at{"a", 32 * day}, at{"a", 31 * day})
			p := ages(retention.Limit[time.Duration]{Max: 30 * day})
			p.Events = []retention.Limit[uint64]{{Max: 3}}
			trimmer, err := retention.New(log, p)
			if err != nil {
				t.Fatal(err)
			}
			clk := bubbleClock()
			if err := trimmer.Judge(clk); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				trimmer.Run(ctx, 10*time.Second, clk, slog.New(slog.DiscardHandler))
			}()
			appendOne(t, log, "a", 1)
			time.Sleep(23 * time.Hour)
			synctest.Wait()
			if n := count(t, log); n != 3 {
				t.Errorf("23 hours later: %d events are left, want 3", n)
			}
			if trust {
				clk.Trust()
				time.Sleep(10 * time.Second)
			} else {
				time.Sleep(2 * time.Hour)
			}
			synctest.Wait()
			if n := count(t, log); n != 1 {
				t.Errorf("once the clock counts: %d events are left, want 1", n)
			}
			stop()
			<-ended
		})
	}
}

// TestSteps: a step forward at run time deletes no young events, whatever its size.
func TestSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, 2 * time.Hour, 3650 * day} {
		synctest.Test(t, func(t *testing.T) {
			began, stepped := time.Now(), atomic.Int64{}
			clk := clock.New(clock.Options{
				Wall:    func() time.Time { return time.Now().Add(time.Duration(stepped.Load())) },
				Elapsed: func() time.Duration { return time.Since(began) },
			})
			log := storetest.NewModel(storetest.Options{Now: clk.Now})
			trimmer, err := retention.New(log, keepMinute())
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				trimmer.Run(ctx, time.Second, clk, slog.New(slog.DiscardHandler))
			}()
			synctest.Wait()
			appendOne(t, log, "a", 1)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			stepped.Store(int64(step))
			appendOne(t, log, "a", 1)
			time.Sleep(40 * time.Second)
			synctest.Wait()
			if n := count(t, log); n != 2 {
				t.Errorf("a step of %v: %d events are left, want 2", step, n)
			}
			if head := log.Head().Time(); time.Until(head) > time.Hour {
				t.Errorf("a step of %v: the newest event is of %v from now", step, time.Until(head))
			}
			time.Sleep(15 * time.Second)
			synctest.Wait()
			if n := count(t, log); step > time.Hour && n != 1 {
				t.Errorf("a step of %v: %d events are left of one that is a minute old and one that "+
					"is not", step, n)
			}
			stop()
			<-ended
		})
	}
}

// TestSays: deletions are logged, at most once a minute, and none is left out.
func TestSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewModel(storetest.Options{})
		trimmer, err := retention.New(log,
			retention.Policy{Events: []retention.Limit[uint64]{{Max: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		var lines bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			trimmer.Run(ctx, time.Second, bubbleClock(), slog.New(slog.NewTextHandler(&lines, nil)))
		}()
		for range 101 {
			appendOne(t, log, "a", 1)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		stop()
		<-ended
		var said uint64
		got := regexp.MustCompile(`level=INFO msg="retention deleted events" events=(\d+) `+
			`oldest=2000-01-01T00:0\S+ newest=2000-01-01T00:0`).FindAllStringSubmatch(lines.String(), -1)
		for _, m := range got {
			n, err := strconv.ParseUint(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			said += n
		}
		if deleted := 101 - count(t, log); said != deleted || len(got) != 3 {
			t.Errorf("%d lines about %d events, want 3 about %d:\n%s", len(got), said, deleted,
				lines.String())
		}
	})
}
