package deliver_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/store"
)

func aside(patterns ...string) deliver.Settings {
	set := settings(patterns...)
	set.OnGiveUp, set.GiveUpAfter = deliver.SetAside, time.Hour
	return set
}

func parseID(t *testing.T, text string) *store.ID {
	t.Helper()
	id, err := store.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return &id
}

func (s *scene) letters(name string) []deliver.DeadLetter {
	s.t.Helper()
	synctest.Wait()
	list, err := s.Dead(name, store.ID{}, deliver.MaxDead+1)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

func (s *scene) expectDead(name string, want ...string) {
	s.t.Helper()
	var got []string
	for _, l := range s.letters(name) {
		got = append(got, l.ID.String())
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("set aside is %q, want %q", got, want)
	}
}

// refusing answers code to requests with one of these IDs, and 200 to others.
func refusing(code int, ids ...string) func(int, got) *http.Response {
	return func(_ int, r got) *http.Response {
		if slices.Contains(ids, r.id) {
			return status(code)
		}
		return status(http.StatusOK)
	}
}

// setAside makes a delivery with dead letters: it publishes n events, and all but the last fail.
func (s *scene) setAside(n int) (ids []string) {
	s.t.Helper()
	s.put("shop", aside("orders"))
	s.receiver.set(always(500))
	ids = strings.Fields(s.publish(n, "orders"))
	s.receiver.set(refusing(500, ids[:n-1]...))
	time.Sleep(time.Duration(n) * time.Hour)
	synctest.Wait()
	s.receiver.take()
	s.expectDead("shop", ids[:n-1]...)
	return ids
}

// TestSetAside: an event that has failed for too long makes way, and is known after a kill, with the reason.
func TestSetAside(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		if on := s.put("shop", settings("orders")).OnGiveUp; on != deliver.Stop {
			t.Errorf("at first %q, want stop", on)
		}
		id := s.setAside(4)
		status := s.expect("shop", deliver.Running)
		if status.At.String() != id[3] || status.Dead != 3 || status.Due != "" || status.OnGiveUp != deliver.SetAside {
			t.Errorf("it is %+v", status)
		}
		s.kill()
		s.expectDead("shop", id[:3]...)
		l := s.letters("shop")[0]
		if l.Topic != "orders" || l.Attempts < 8 || l.Last.Sub(l.First) < time.Hour || l.Gone ||
			!strings.Contains(l.Failure, "500") {
			t.Errorf("the letter is %+v", l)
		}
		more := s.publish(1, "orders")
		s.expectSent(more)
		s.put("shop", deliver.Settings{GiveUpAfter: 2 * time.Hour}) // keeps them
		s.put("other", settings("orders"))
		s.expectDead("shop", id[:3]...)
		s.expectDead("other")
		if list, err := s.Dead("shop", *parseID(t, id[0]), 1); err != nil || len(list) != 1 ||
			list[0].ID.String() != id[1] {
			t.Errorf("a page is %+v (%v)", list, err)
		}
		if err := s.Delete(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		if rows, err := s.log.Deliveries(); err != nil || len(rows) != 1 {
			t.Errorf("after a delete the log has %d rows (%v), want the other delivery's", len(rows), err)
		}
		s.put("shop", aside("orders"))
		s.expectDead("shop")
	})
}

// TestSetAsideAtOnce: a kill right after an event was set aside does not bring it back, and the rows of others are not
// written with the progress.
func TestSetAsideAtOnce(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		id := s.setAside(3)
		s.log.mu.Lock()
		s.log.names = make(map[string]int)
		s.log.mu.Unlock()
		more := s.publish(1, "orders")
		time.Sleep(3 * time.Second)
		s.expectSent(more)
		s.log.mu.Lock()
		if len(s.log.names) != 1 || s.log.names["shop"] == 0 {
			t.Errorf("progress has written %v", s.log.names)
		}
		s.log.mu.Unlock()
		s.receiver.set(always(500))
		failing := s.publish(1, "orders")
		for len(s.letters("shop")) == 2 {
			time.Sleep(time.Second)
		}
		s.kill()
		s.expectDead("shop", id[0], id[1], failing)
		if at := s.get("shop").At.String(); at != failing {
			t.Errorf("it is at %s, want it past %s", at, failing)
		}
	})
}

// TestSetAsideUnwritten: while the log refuses writes, letters are kept, and written later.
func TestSetAsideUnwritten(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", aside("orders"))
		s.receiver.set(always(500))
		id := strings.Fields(s.publish(2, "orders"))
		s.log.fail(store.ErrNoSpace)
		time.Sleep(90 * time.Minute)
		s.expectDead("shop", id[0])
		s.log.fail(nil)
		time.Sleep(3 * time.Second)
		s.kill()
		s.expectDead("shop", id[0])
	})
}

// TestSetAsideLimit: there are at most MaxDead; the next one stops the delivery, until some are forgotten.
func TestSetAsideLimit(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := aside("orders")
		set.GiveUpAfter = deliver.MinGiveUpAfter
		s.put("shop", set)
		s.receiver.set(always(500))
		id := strings.Fields(s.publish(deliver.MaxDead+1, "orders"))
		time.Sleep(time.Hour)
		status := s.expect("shop", deliver.GivenUp)
		if status.Dead != deliver.MaxDead || status.Due != id[deliver.MaxDead] ||
			!strings.Contains(status.Reason, "redrive or forget") {
			t.Errorf("it is %s at %s with %d: %s", status.State, status.Due, status.Dead, status.Reason)
		}
		if n, err := s.Forget(t.Context(), "shop", nil); n != deliver.MaxDead || err != nil {
			t.Errorf("forgot %d (%v)", n, err)
		}
		s.kill()
		s.expectDead("shop")
		if _, err := s.Resume(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.expectDead("shop", id[deliver.MaxDead])
		s.expect("shop", deliver.Running)
	})
}

// TestGapIsNotSetAside: a delivery stops at a gap that the receiver does not take.
func TestGapIsNotSetAside(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", aside("orders"))
		s.publish(1, "orders")
		synctest.Wait()
		s.receiver.set(always(500))
		id := strings.Fields(s.publish(3, "orders"))
		if _, err := s.log.Trim(t.Context(), store.All(), *parseID(t, id[2])); err != nil {
			t.Fatal(err)
		}
		s.Resume(t.Context(), "shop")
		time.Sleep(3 * time.Hour)
		if due := s.expect("shop", deliver.GivenUp).Due; !strings.HasPrefix(due, "gap-") {
			t.Errorf("it has stopped at %s", due)
		}
		s.expectDead("shop")
	})
}

// TestRedrive: in log order, beside the cursor. A letter that is taken is removed, one that is refused stays with the
// new reason, one deleted by retention is skipped, and a failure is retried.
func TestRedrive(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		id := s.setAside(6)
		before := s.letters("shop")[2].Attempts
		if _, err := s.log.Trim(t.Context(), store.All(), *parseID(t, id[1])); err != nil {
			t.Fatal(err)
		}
		if l := s.letters("shop"); !l[0].Gone || l[1].Gone {
			t.Errorf("the letters are %+v, want the first one gone", l)
		}
		failed := false
		s.receiver.set(func(_ int, r got) *http.Response {
			if r.id == id[3] && !failed {
				failed = true
				return status(503)
			}
			return refusing(422, id[2])(0, r)
		})
		if _, err := s.Redrive("shop", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if run := s.get("shop").Run; run == nil || run.State != deliver.RunUnderWay || run.At.String() != id[3] {
			t.Errorf("under way, the run is %+v", run)
		}
		if _, err := s.Redrive("shop", nil); !errors.Is(err, deliver.ErrState) {
			t.Errorf("a second run: %v, want ErrState", err)
		}
		if _, err := s.Forget(t.Context(), "shop", parseID(t, id[4])); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.expectSent(strings.Join([]string{id[1], id[2], id[3], id[3]}, " "))
		s.expectDead("shop", id[0], id[2])
		run := s.get("shop").Run
		if run.State != deliver.RunDone || run.Sent != 2 || run.Refused != 1 || run.Gone != 1 || run.Ended.IsZero() {
			t.Errorf("it has come to %+v", run)
		}
		l := s.letters("shop")[1]
		if l.Attempts != before+1 || !strings.Contains(l.Failure, "422") {
			t.Errorf("the letter is %+v", l)
		}
		if at := s.get("shop").At.String(); at != id[5] {
			t.Errorf("the cursor has moved to %s", at)
		}
		s.kill() // after more than a second
		s.expectDead("shop", id[0], id[2])
		if run := s.get("shop").Run; run != nil {
			t.Errorf("after a restart the run is %+v", run)
		}
		for text, want := range map[string]error{id[0]: deliver.ErrState, id[5]: deliver.ErrNoLetter} {
			if _, err := s.Redrive("shop", parseID(t, text)); !errors.Is(err, want) {
				t.Errorf("redrive %s: %v, want %v", text, err, want)
			}
		}
		s.receiver.set(nil)
		if _, err := s.Redrive("shop", parseID(t, id[2])); err != nil {
			t.Fatal(err)
		}
		s.expectSent(id[2])
	})
}

// TestRedriveEnds: a receiver that fails for too long ends it, as does a pause; the letters stay. It needs a delivery
// that may send.
func TestRedriveEnds(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		id := s.setAside(3)
		s.receiver.set(always(500))
		for _, end := range []func(){
			func() { time.Sleep(3 * time.Hour) },
			func() { s.Pause(t.Context(), "shop") },
			func() { s.Resume(t.Context(), "shop"); s.Redrive("shop", nil); s.PauseAll(t.Context()) },
			func() { s.Resume(t.Context(), "shop"); s.Redrive("shop", nil); s.put("shop", aside("orders")) },
		} {
			s.Resume(t.Context(), "shop")
			if _, err := s.Redrive("shop", nil); err != nil && !errors.Is(err, deliver.ErrState) {
				t.Fatal(err)
			}
			synctest.Wait()
			end()
			synctest.Wait()
			if run := s.get("shop").Run; run.State != deliver.RunEnded || run.Failure == "" || run.Sent != 0 {
				t.Errorf("the run is %+v", run)
			}
			s.expectDead("shop", id[:2]...)
		}
		s.Pause(t.Context(), "shop")
		if _, err := s.Redrive("shop", nil); !errors.Is(err, deliver.ErrState) {
			t.Errorf("a redrive of what is paused: %v", err)
		}
	})
}

// TestDeadLettersOfACopy: they are kept, and not sent until an administrator confirms it; also with the longest name.
func TestDeadLettersOfACopy(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		name := strings.Repeat("n", 255)
		s.put(name, aside("orders"))
		s.receiver.set(always(500))
		id := s.publish(1, "orders")
		time.Sleep(2 * time.Hour)
		s.expectDead(name, id)
		rows, err := s.log.Deliveries()
		if err != nil {
			t.Fatal(err)
		}
		s.close()
		s.log.Close()
		s.log = newLog() // another identity
		if err := s.log.SetDeliveries(t.Context(), rows, false); err != nil {
			t.Fatal(err)
		}
		s.open()
		s.expectDead(name, id)
		if l := s.letters(name); !l[0].Gone {
			t.Errorf("the copy has no event, and says %+v", l[0])
		}
		if _, err := s.Redrive(name, nil); !errors.Is(err, deliver.ErrState) {
			t.Errorf("redrive: %v, want ErrState", err)
		}
	})
}

// TestForgetFails: letters are not forgotten if the log refuses the write.
func TestForgetFails(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		id := s.setAside(3)
		s.log.fail(store.ErrNoSpace)
		if _, err := s.Forget(t.Context(), "shop", nil); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("forget: %v", err)
		}
		s.expectDead("shop", id[:2]...)
		s.log.fail(nil)
		time.Sleep(3 * time.Second)
		s.kill()
		s.expectDead("shop", id[:2]...)
		if _, err := s.Forget(context.Background(), "shop", parseID(t, id[2])); !errors.Is(err, deliver.ErrNoLetter) {
			t.Errorf("forget another: %v", err)
		}
	})
}
