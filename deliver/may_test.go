package deliver_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
)

// TestMay: a server that is no longer the one that sends makes no request, in each order and however long it takes to
// be closed. What it has not sent is no failure: the next server starts with it.
func TestMay(t *testing.T) {
	for _, order := range []deliver.Order{deliver.Strict, deliver.ByTopic, deliver.Parallel} {
		t.Run(string(order), func(t *testing.T) {
			test(t, func(t *testing.T, s *scene) {
				var not atomic.Bool
				s.close()
				s.tail = replay.NewTail(s.log, replay.TailOptions{})
				sender, err := deliver.New(s.log, s.tail, deliver.Options{Guard: outbound.New(s.guard),
					Key: seal.NewFile(s.key), Client: &http.Client{Transport: s.receiver},
					May: func() bool { return !not.Load() }})
				if err != nil {
					t.Fatal(err)
				}
				s.Sender = sender
				set := settings("orders")
				set.Order, set.From = order, &store.ID{}
				s.put("shop", set)
				s.expectSent(s.publish(1, "orders"))
				not.Store(true)
				waits := s.publish(1, "orders")
				time.Sleep(time.Hour)
				s.expectSent("")
				if status := s.get("shop"); status.Due != "" || status.Attempts != 0 {
					t.Errorf("what was not sent counts as a failure: %+v", status)
				}
				began := time.Now()
				s.close()
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it was closed after %v", took)
				}
				s.expectSent("")
				s.open()
				synctest.Wait()
				s.expectSent(waits)
			})
		})
	}
}

// TestMayPush: the same for pushes.
func TestMayPush(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		var not atomic.Bool
		s.Close()
		s.options.May = func() bool { return !not.Load() }
		s.open()
		ana := newBrowser("ana")
		s.register(ana.registration("ana", "orders"))
		not.Store(true)
		s.publish(1, "orders")
		if all := s.after(time.Minute); len(all) > 0 {
			t.Errorf("%d pushes of a server that is not the one that sends", len(all))
		}
		began := time.Now()
		s.Close()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it was closed after %v", took)
		}
		if all := s.after(time.Second); len(all) > 0 {
			t.Errorf("%d pushes while it was closed", len(all))
		}
		not.Store(false)
		s.open()
		if all := s.after(time.Hour); len(all) != 1 {
			t.Errorf("%d pushes of the server that is, want the one that was due", len(all))
		}
	})
}
