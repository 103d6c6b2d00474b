package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/store"
	"tidings/store/bolt"
)

// TestQueueFull: an append whose context, or whose time, ends while the queue has no room for it stores
// nothing, and the one that uses all the room does not notice. Data or attributes use the room. The clock,
// which the committer reads when it mints an ID, holds the committer.
func TestQueueFull(t *testing.T) {
	for what, big := range map[string]store.Draft{
		"data": {Topic: "big", Data: make([]byte, 64<<20)},
		"attributes": {Topic: "big", Attributes: []store.Attribute{{Name: "long",
			Value: strings.Repeat("v", 64<<20)}}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { queueFull(t, big) })
		})
	}
}

func queueFull(t *testing.T, big store.Draft) {
	const timeout = 3 * time.Second
	hold := make(chan struct{})
	var held atomic.Bool
	log := openAt(t, t.TempDir(), bolt.Options{QueueTimeout: timeout, Now: func() time.Time {
		if held.Load() {
			<-hold
		}
		return time.Now()
	}})
	held.Store(true)
	type outcome struct {
		ids []store.ID
		err error
	}
	start := func(ctx context.Context, d store.Draft) <-chan outcome {
		c := make(chan outcome, 1)
		go func() {
			ids, err := store.Append(ctx, log, []store.Draft{d})
			c <- outcome{ids, err}
		}()
		synctest.Wait()
		return c
	}
	first := start(t.Context(), big)
	ctx, cancel := context.WithCancelCause(t.Context())
	second := start(ctx, store.Draft{Topic: "small"})
	cause := errors.New("the client went away")
	cancel(cause)
	synctest.Wait()
	select {
	case got := <-second:
		if !errors.Is(got.err, store.ErrQueueFull) || !errors.Is(got.err, cause) || got.ids != nil {
			t.Errorf("append to a full queue: %v, %v; want %v because %v", got.ids, got.err,
				store.ErrQueueFull, cause)
		}
	default:
		t.Error("append to a full queue outlives its context")
	}
	third := start(t.Context(), store.Draft{Topic: "small"})
	time.Sleep(timeout)
	synctest.Wait()
	select {
	case got := <-third:
		if !errors.Is(got.err, store.ErrQueueFull) ||
			!errors.Is(got.err, context.DeadlineExceeded) || got.ids != nil {
			t.Errorf("append to a full queue, without a deadline: %v, %v", got.ids, got.err)
		}
	default:
		t.Errorf("append to a full queue waits for more than %v", timeout)
	}
	held.Store(false)
	close(hold)
	got := <-first
	if got.err != nil {
		t.Fatalf("append that fills the queue: %v", got.err)
	}
	after := appendAll(t, log, store.Draft{Topic: "small", Data: []byte("y")})
	expect(t, log, store.All(), got.ids[0], after)
	if e, err := log.Get(got.ids[0]); err != nil || !bytes.Equal(e.Data, big.Data) {
		t.Errorf("the big event came back with %d bytes of data, error %v", len(e.Data), err)
	}
}

// TestQueueTurns: an owner that queues much, with room for it or without, does not delay another owner, whose
// request is among the next to be committed.
func TestQueueTurns(t *testing.T) {
	for what, first := range map[string]int{"room": 1, "no room": 64 << 20} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { queueTurns(t, make([]byte, first)) })
		})
	}
}

func queueTurns(t *testing.T, first []byte) {
	hold := make(chan struct{})
	var held atomic.Bool
	log := openAt(t, t.TempDir(), bolt.Options{Now: func() time.Time {
		if held.Load() {
			<-hold
		}
		return time.Now()
	}})
	var waits sync.WaitGroup
	send := func(owner, topic string, data []byte) {
		waits.Go(func() {
			if _, err := log.AppendOnce(t.Context(), []store.Group{{Owner: owner,
				Drafts: []store.Draft{{Topic: topic, Data: data}}}}); err != nil {
				t.Errorf("append of %s: %v", owner, err)
			}
		})
		synctest.Wait()
	}
	held.Store(true)
	send("flood", "flood", first)
	for range 200 {
		send("flood", "flood", nil)
	}
	send("shop", "shop", nil)
	waits.Go(func() {
		if _, err := log.SetMark(t.Context(), "inbox", "i", store.Mark{Topics: store.All()}); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	if got := log.Stats().Queued; got != 202 {
		t.Errorf("%d requests wait, want 202", got)
	}
	held.Store(false)
	close(hold)
	waits.Wait()
	for info := range log.Topics(filterOf(t, "shop")) {
		before, err := log.Count(store.All(), store.ID{}, 1000)
		after, afterErr := log.Count(store.All(), info.First, 1000)
		if err = errors.Join(err, afterErr); err != nil || before-after > 3 {
			t.Errorf("the other's event is the %dth that was stored (error %v)", before-after, err)
		}
	}
}

// TestClockWarning: the clock steps back by an hour. IDs keep increasing, one warning is logged, and a later
// step gets its own.
func TestClockWarning(t *testing.T) {
	var text bytes.Buffer // written by the committer only, between the appends
	now := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	log := openAt(t, t.TempDir(), bolt.Options{Now: func() time.Time {
		return now
	}, Logger: slog.New(slog.NewTextHandler(&text, nil))})
	last := store.ID{}
	for _, step := range []struct {
		by       time.Duration
		warnings int
	}{{0, 0}, {-time.Millisecond, 0}, {-time.Hour, 1}, {0, 1}, {time.Minute, 1}, {-time.Second, 1},
		{2 * time.Hour, 1}, {0, 1}, {-time.Hour, 2}, {0, 2}} {
		now = now.Add(step.by)
		for _, e := range appendN(t, log, 3, "a") {
			if !last.Before(e.ID) {
				t.Fatalf("after a step of %v: %s follows %s", step.by, e.ID, last)
			}
			last = e.ID
		}
		if got := strings.Count(text.String(), "level=WARN"); got != step.warnings {
			t.Errorf("after a step of %v: %d warnings, want %d:\n%s", step.by, got, step.warnings,
				text.String())
		}
	}
	if !strings.Contains(text.String(), "clock is behind the newest event") {
		t.Errorf("the warning says %s", text.String())
	}
}
