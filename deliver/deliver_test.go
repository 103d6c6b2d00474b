package deliver_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// TestStrictOrder: whatever the receiver does, each event is sent until it is taken, and the next not before.
func TestStrictOrder(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		random, kills := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(3, 4))
		s.receiver.set(func(int, got) *http.Response {
			switch random.IntN(4) {
			case 0:
				return nil
			case 1:
				time.Sleep(time.Minute) // longer than any timeout
				return status(http.StatusOK)
			case 2:
				return status(500 + random.IntN(5))
			}
			return status(204)
		})
		s.put("shop", settings("orders.>"))
		want := s.publish(60, "orders.eu", "orders.us", "tickets")
		wanted := slices.DeleteFunc(strings.Fields(want), func(id string) bool {
			n := slices.Index(strings.Fields(want), id)
			return n%3 == 2
		})
		for range 20 {
			time.Sleep(10 * time.Minute)
			if kills.IntN(2) == 0 {
				s.kill()
			}
		}
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		var order []string
		for _, g := range s.receiver.take() {
			if len(order) == 0 || g.id > order[len(order)-1] {
				order = append(order, g.id)
			}
		}
		if !slices.Equal(order, wanted) {
			t.Errorf("by first arrival %d events, want %d", len(order), len(wanted))
		}
		status := s.expect("shop", deliver.Running)
		if last := wanted[len(wanted)-1]; status.At.String() != last || status.Due != "" {
			t.Errorf("at %v, due %q, want at %s", status.At, status.Due, last)
		}
	})
}

// TestLive: an event is sent as soon as it is published, and other topics wake nobody.
func TestLive(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.publish(3, "orders") // before
		s.put("shop", settings("orders"))
		s.expectSent("")
		began := time.Now()
		want := s.publish(3, "orders")
		s.publish(3, "others")
		all := s.expectSent(want)
		if len(all) == 3 && all[2].at.Sub(began) > 0 {
			t.Errorf("sent after %v", all[2].at.Sub(began))
		}
		from := settings("orders")
		from.From = &store.ID{}
		s.put("all", from)
		synctest.Wait()
		if all := s.receiver.take(); len(all) != 6 {
			t.Errorf("from the start: %d events, want 6", len(all))
		}
	})
}

// TestBackoff: failures are followed by pauses of a second to an hour, and nothing is published to the feed meanwhile.
func TestBackoff(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := settings("orders")
		set.GiveUpAfter = 1000 * time.Hour
		s.put("shop", set)
		s.receiver.set(always(503))
		s.publish(1, "orders")
		synctest.Wait()
		if feeds := s.tail.Stats().Feeds; feeds != 0 {
			t.Errorf("%d feeds in back-off, want none", feeds)
		}
		woken := s.tail.Stats().Wakeups
		s.publish(100, "orders")
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		if more := s.tail.Stats().Wakeups - woken; more > 0 {
			t.Errorf("woken %d times in back-off", more)
		}
		all := s.receiver.take()
		for i := 1; i < len(all); i++ {
			most := min(time.Hour, time.Second<<min(i-1, 20))
			if pause := all[i].at.Sub(all[i-1].at); pause < most/2-time.Millisecond || pause > most {
				t.Errorf("pause %d took %v, want %v to %v", i, pause, most/2, most)
			}
		}
		status := s.expect("shop", deliver.Failing)
		if len(all) < 100 || status.Attempts != len(all) || !strings.Contains(status.Failure, "503") ||
			!status.Next.After(time.Now()) || status.First.After(status.Last) {
			t.Errorf("%d attempts, status %+v", len(all), status)
		}
		s.receiver.set(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(s.receiver.take()); n != 101 {
			t.Errorf("%d events once it answers, want 101", n)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "90000": 24 * time.Hour, "99999999999999999999": time.Second,
		"date": 30 * time.Minute, "soon": time.Second, "-5": time.Second,
	} {
		test(t, func(t *testing.T, s *scene) {
			set := settings("orders")
			set.GiveUpAfter = 48 * time.Hour
			s.put("shop", set)
			value := header
			if header == "date" {
				value = time.Now().Add(want).UTC().Format(http.TimeFormat)
			}
			s.receiver.set(always(429, "Retry-After", value))
			id := s.publish(1, "orders")
			s.expectSent(id)
			if want > time.Minute { // a restart keeps it
				s.close()
				s.open()
			}
			time.Sleep(want/2 - time.Second)
			s.expectSent("")
			time.Sleep(want/2 + 2*time.Second)
			synctest.Wait()
			if n := len(s.receiver.take()); n == 0 {
				t.Errorf("Retry-After %q: nothing after %v", header, want)
			}
		})
	}
}

// TestRefusals: an event that the receiver rejects is retried each hour, and 410 is the end.
func TestRefusals(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		for _, code := range []int{400, 404, 413, 415, 422} {
			s.receiver.set(always(code))
			id := s.publish(1, "orders")
			s.expectSent(id)
			if f := s.expect("shop", deliver.Failing).Failure; !strings.Contains(f, "rejects this event") {
				t.Errorf("%d is explained by %q", code, f)
			}
			time.Sleep(29 * time.Minute)
			s.expectSent("")
			s.receiver.set(nil)
			time.Sleep(31 * time.Minute)
			s.expectSent(id)
		}
		s.receiver.set(always(410))
		id := s.publish(2, "orders")
		s.expectSent(strings.Fields(id)[0])
		if r := s.expect("shop", deliver.Disabled).Reason; !strings.Contains(r, "410") {
			t.Errorf("disabled for %q", r)
		}
		s.kill()
		time.Sleep(time.Hour)
		s.expectSent("")
		s.expect("shop", deliver.Disabled)
		if _, err := s.Pause(t.Context(), "shop"); !errors.Is(err, deliver.ErrState) {
			t.Errorf("pause what is disabled: %v, want ErrState", err)
		}
		s.receiver.set(nil)
		if _, err := s.Resume(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		s.expectSent(id)
	})
}

// TestGiveUp: an event that fails for too long stops those after it, until an administrator resumes or skips.
func TestGiveUp(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.receiver.set(always(500))
		id := strings.Fields(s.publish(3, "orders"))
		began := time.Now()
		time.Sleep(23 * time.Hour)
		s.expect("shop", deliver.Failing)
		s.kill() // loses none of that
		time.Sleep(2 * time.Hour)
		status := s.expect("shop", deliver.GivenUp)
		all := s.receiver.take()
		if last := all[len(all)-1].at.Sub(began); last != 24*time.Hour {
			t.Errorf("last tried after %v, want after 24h", last)
		}
		if status.Due != id[0] || status.Reason == "" || status.Failure == "" {
			t.Errorf("status %+v", status)
		}
		s.kill()
		time.Sleep(48 * time.Hour)
		s.expectSent("")
		if _, err := s.Skip(t.Context(), "shop", id[1]); !errors.Is(err, deliver.ErrState) {
			t.Errorf("skip of another: %v, want ErrState", err)
		}
		s.receiver.set(nil)
		if _, err := s.Skip(t.Context(), "shop", id[0]); err != nil {
			t.Fatal(err)
		}
		s.expectSent(id[1] + " " + id[2])
	})
}

func TestPause(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.put("mail", settings("orders"))
		for _, c := range []struct {
			what          string
			pause, resume func() error
			times         int
		}{
			{"one", func() error { _, err := s.Pause(t.Context(), "shop"); return err },
				func() error { _, err := s.Resume(t.Context(), "shop"); return err }, 1},
			{"all", func() error { _, err := s.PauseAll(t.Context()); return err },
				func() error { _, err := s.ResumeAll(t.Context()); return err }, 2},
		} {
			s.receiver.take()
			s.publish(1, "orders")
			synctest.Wait()
			s.receiver.take()
			began := time.Now() // with progress under way
			if err := errors.Join(c.pause(), c.pause()); err != nil || time.Since(began) > 0 {
				t.Fatalf("%v after %v, want at once", err, time.Since(began))
			}
			s.kill() // a pause is not forgotten
			time.Sleep(2 * time.Second)
			s.receiver.take() // repeats
			id := s.publish(1, "orders")
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := len(s.receiver.take()); n != 2-c.times {
				t.Errorf("%s paused: %d requests, want %d", c.what, n, 2-c.times)
			}
			s.expect("shop", deliver.Paused)
			if err := c.resume(); err != nil {
				t.Fatal(err)
			}
			s.expectSent(strings.TrimSpace(strings.Repeat(id+" ", c.times)))
		}
		for what, err := range map[string]error{
			"pause":  func() error { _, err := s.Pause(t.Context(), "none"); return err }(),
			"resume": func() error { _, err := s.Resume(t.Context(), "none"); return err }(),
			"delete": s.Delete(t.Context(), "none"),
		} {
			if !errors.Is(err, deliver.ErrNotFound) {
				t.Errorf("%s of none: %v, want ErrNotFound", what, err)
			}
		}
	})
}

// TestDelete: a deleted delivery does not come back with progress that was not written yet.
func TestDelete(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		s.publish(1, "orders")
		synctest.Wait()
		if err := s.Delete(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.publish(1, "orders")
		s.close()
		s.open()
		if list := s.List("", 10); len(list) != 0 {
			t.Errorf("there is %v", list)
		}
	})
}

// TestIdleTakesNoGoroutine: a delivery has no goroutine while it waits, be it for an event or for the next attempt.
func TestIdleTakesNoGoroutine(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.receiver.set(func(_ int, g got) *http.Response {
			if g.header.Get("Tidings-Topic") == "mails" {
				return nil
			}
			return status(http.StatusOK)
		})
		before := runtime.NumGoroutine()
		const each = 10
		for i := range each {
			s.put(fmt.Sprint("strict", i), settings("orders"))
			s.put(fmt.Sprint("failing", i), settings("mails"))
			topic := settings("orders")
			topic.Order = deliver.ByTopic
			s.put(fmt.Sprint("topic", i), topic)
		}
		for range 2 {
			s.publish(2, "orders", "mails")
			time.Sleep(500 * time.Millisecond)
			if all := s.takeAll(); len(all) < 2*each {
				t.Errorf("%d requests, want %d", len(all), 2*each)
			}
			if n := runtime.NumGoroutine() - before; n > each/2 {
				t.Errorf("%d goroutines for %d deliveries", n, 3*each)
			}
		}
	})
}

// TestProgress: a second of requests costs one write for all deliveries; a kill repeats what was not written, and a
// close nothing.
func TestProgress(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		for _, name := range []string{"a", "b", "c"} {
			s.put(name, settings("orders"))
		}
		s.put("idle", settings("others"))
		time.Sleep(2 * time.Second)
		s.log.count()
		for range 100 { // ten a second
			s.publish(1, "orders")
			time.Sleep(100 * time.Millisecond)
		}
		if writes, rides := s.log.count(); writes > 11 || rides != writes {
			t.Errorf("300 requests in 10 s took %d writes, %d of them riding, want at most 11, all riding", writes, rides)
		}
		s.log.mu.Lock()
		idle := s.log.names["idle"]
		s.log.mu.Unlock()
		if idle != 1 {
			t.Errorf("a delivery with no progress was written %d times, want once", idle)
		}
		time.Sleep(2 * time.Second)
		s.receiver.take()
		s.kill()
		s.expectSent("")
		id := s.publish(1, "orders")
		s.expectSent(strings.Join([]string{id, id, id}, " "))
		s.kill()
		synctest.Wait()
		if n := len(s.receiver.take()); n > 3 {
			t.Errorf("%d requests after a kill, want 3 at most", n)
		}
		s.publish(1, "orders")
		synctest.Wait()
		s.receiver.take()
		s.close()
		s.open()
		s.expectSent("")
	})
}

// TestProgressOfMany: an append takes along the progress of a few deliveries only; all of it is still written in time.
func TestProgressOfMany(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		for i := range 200 {
			s.put(fmt.Sprint("d", i), settings("orders"))
		}
		time.Sleep(2 * time.Second)
		s.publish(1, "orders")
		time.Sleep(2 * time.Second)
		s.kill()
		s.log.mu.Lock()
		most := s.log.most
		s.log.mu.Unlock()
		if all := s.takeAll(); len(all) != 200 || most != 64 {
			t.Errorf("%d requests, a kill included; an append was to take %d rows along", len(all), most)
		}
	})
}

// TestDiskFull: while progress cannot be written, sending continues, and is repeated after a restart.
func TestDiskFull(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", settings("orders"))
		time.Sleep(2 * time.Second)
		s.log.fail(store.ErrNoSpace)
		id := s.publish(3, "orders")
		time.Sleep(time.Minute)
		s.expectSent(id)
		if !s.Stats().Unwritten {
			t.Error("nobody is told")
		}
		if _, err := s.Pause(t.Context(), "shop"); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("pause: %v, want ErrNoSpace", err)
		}
		s.expect("shop", deliver.Running)
		s.kill()
		s.expectSent(id)
		time.Sleep(2 * time.Second)
		s.kill()
		s.expectSent("")
		if s.Stats().Unwritten {
			t.Error("told for too long")
		}
	})
}
