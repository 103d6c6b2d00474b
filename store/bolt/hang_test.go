package bolt_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// hanging is a log whose committer hangs at its next commit until it is released, because it calls Past for
// each. Its tests run in a synctest bubble.
type hanging struct {
	*bolt.Log
	hold  atomic.Pointer[chan struct{}]
	lines e2e.Output
}

func openHanging(t *testing.T) *hanging {
	h := &hanging{}
	h.Log = openAt(t, t.TempDir(), bolt.Options{Logger: slog.New(slog.NewTextHandler(&h.lines, nil)),
		Past: func(age time.Duration) time.Time {
			if hold := h.hold.Load(); hold != nil {
				<-*hold
			}
			return time.Now().Add(-age)
		}})
	return h
}

func (h *hanging) hang() { h.hold.Store(new(make(chan struct{}))) }

func (h *hanging) release() { close(*h.hold.Swap(nil)) }

// later is the error that a call returns, and after how long.
type later struct {
	err   error
	after time.Duration
	ended bool
}

// start makes a call that may hang.
func start(call func() error) *later {
	l, began := &later{}, time.Now()
	go func() {
		l.err = call()
		l.after, l.ended = time.Since(began), true
	}()
	synctest.Wait()
	return l
}

// TestHang: while the disk hangs, a request that no commit has taken is refused when its caller's time is
// over, and nothing of it is stored; one that the commit has taken gets an unknown outcome within half a
// minute; Ready says what is wrong, and reading continues. When the disk recovers, everything continues.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := openHanging(t)
		first := appendN(t, log, 3, "a")
		log.hang()
		publish := func(topic string) *later {
			return start(func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err := store.Append(ctx, log, []store.Draft{{Topic: topic}})
				return err
			})
		}
		taken := publish("taken")
		queued := publish("queued")
		mark := start(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := log.SetMark(ctx, "s", "n", store.Mark{ID: first[0].ID, Topics: filterOf(t, "a")})
			return err
		})
		trim := start(func() error {
			_, err := log.Trim(t.Context(), store.All(), first[1].ID)
			return err
		})
		time.Sleep(4 * time.Second)
		if err := log.Ready(); err != nil {
			t.Errorf("after 4 seconds: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := log.Ready(); !errors.Is(err, store.ErrDiskHangs) ||
			!strings.Contains(err.Error(), "6s") || !strings.Contains(log.lines.String(), "hangs") {
			t.Errorf("after 6 seconds: %v; the log has %s", err, &log.lines)
		}
		if age := log.Stats().Committing; age != 6*time.Second {
			t.Errorf("after 6 seconds the commit is %v old", age)
		}
		retain := start(func() error {
			_, err := log.Retain(t.Context(), newest(1))
			return err
		})
		backup := start(func() error {
			_, err := log.Backup(t.Context(), io.Discard)
			return err
		})
		expect(t, log, store.All(), store.ID{}, first)
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, c := range []struct {
			what  string
			got   *later
			err   error
			after time.Duration
		}{
			{"a publish in the commit", taken, store.ErrOutcomeUnknown, 30 * time.Second},
			{"one behind it", queued, store.ErrQueueFull, 5 * time.Second},
			{"a mark", mark, store.ErrQueueFull, 5 * time.Second},
			{"a trim", trim, store.ErrQueueFull, 25 * time.Second},
			{"retention", retain, store.ErrDiskHangs, 0},
			{"a backup", backup, store.ErrDiskHangs, 0},
		} {
			if !c.got.ended || !errors.Is(c.got.err, c.err) || c.got.after != c.after {
				t.Errorf("%s: %+v, want %v after %v", c.what, *c.got, c.err, c.after)
			}
		}
		if s := log.Stats(); s.Queued != 0 || s.QueuedBytes == 0 {
			t.Errorf("%d requests wait, with %d bytes; want none, and those of the commit", s.Queued,
				s.QueuedBytes)
		}
		log.release()
		synctest.Wait()
		if err := log.Ready(); err != nil {
			t.Errorf("once the disk is back: %v", err)
		}
		if s := log.Stats(); s.Committing != 0 || s.QueuedBytes != 0 {
			t.Errorf("once the disk is back: %+v", s)
		}
		after := appendN(t, log, 2, "a")
		page, err := log.NewReader(store.All(), first[2].ID).Next(10)
		if err != nil || len(page.Events) != 3 || page.Events[0].Topic != "taken" ||
			page.Events[1].ID != after[0].ID {
			t.Errorf("once the disk is back there are %+v (%v)", page.Events, err)
		}
		storetest.Check(t, log)
	})
}

// TestHangKeepsTrimsOut: a trim whose outcome is still unknown is not counted twice.
func TestHangKeepsTrimsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := openHanging(t)
		events := appendN(t, log, 100, "a")
		log.hang()
		retain := func() *later {
			return start(func() error {
				_, err := log.Retain(t.Context(), newest(50))
				return err
			})
		}
		first := retain()
		time.Sleep(time.Minute)
		second := retain()
		log.release()
		synctest.Wait()
		third := retain()
		if !errors.Is(first.err, store.ErrOutcomeUnknown) || !errors.Is(second.err,
			store.ErrDiskHangs) || !third.ended || third.err != nil {
			t.Errorf("three passes: %+v, %+v, %+v", *first, *second, *third)
		}
		expect(t, log, filterOf(t, "a"), events[49].ID, events)
		storetest.Check(t, log)
	})
}
