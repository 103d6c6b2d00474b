package deliver_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/store"
)

// TestGapInOrder: a gap is reported while nothing else is under way, before anything after it, also a gap in a topic
// that is held back.
func TestGapInOrder(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		x := newTraffic()
		var gaps []string
		answer := func(next func(int, got) *http.Response) {
			s.receiver.set(x.watch(func(n int, r got) *http.Response {
				if strings.HasPrefix(r.id, "gap-") {
					x.mu.Lock()
					if gaps = append(gaps, r.id); x.all != 1 {
						t.Errorf("%s comes with %d other requests", r.id, x.all-1)
					}
					x.mu.Unlock()
					return slow(time.Second)(n, r)
				}
				return next(n, r)
			}))
		}
		answer(failing(500, "orders.bad"))
		s.put("shop", ordered(deliver.ByTopic, "orders.>"))
		first := s.publish(1, "orders.ok")
		bad := strings.Fields(s.publish(3, "orders.bad"))
		time.Sleep(5 * time.Second)
		ok := s.publish(1, "orders.ok")
		time.Sleep(10 * time.Minute)
		filter, _ := store.NewFilter("orders.bad")
		if _, err := s.log.Trim(t.Context(), filter, *parseID(t, bad[2])); err != nil {
			t.Fatal(err)
		}
		s.receiver.take()
		answer(slow(time.Second))
		var live string
		for range 1200 {
			live += " " + s.publish(1, "orders.ok")
			time.Sleep(time.Second / 2)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		all := s.receiver.take()
		gap := "gap-" + first + "-" + bad[1]
		i := slices.IndexFunc(all, func(g got) bool { return g.id == gap })
		j := slices.IndexFunc(all, func(g got) bool { return g.id == bad[2] })
		if len(gaps) != 1 || gaps[0] != gap || j < i || len(all) != 1202 {
			t.Errorf("gaps %q, the gap as %d, %s as %d of %d; %s", gaps, i, bad[2], j, len(all), ok)
		}
		s.Pause(t.Context(), "shop")
		lost := strings.Fields(s.publish(2, "orders.ok"))
		rest := s.publish(2, "orders.ok")
		s.log.Trim(t.Context(), store.All(), *parseID(t, strings.Fields(rest)[0]))
		var once sync.Once
		answer(func(int, got) (resp *http.Response) {
			resp = status(200)
			once.Do(func() { resp = status(500) }) // the retry must not report it again
			return resp
		})
		s.Resume(t.Context(), "shop")
		time.Sleep(time.Minute)
		s.expectSent("gap-" + live[len(live)-26:] + "-" + lost[1] + " " + rest[:26] + " " + rest)
		s.kill()
		time.Sleep(time.Minute)
		if s.expectSent(""); s.rows() != 1 {
			t.Errorf("%d rows", s.rows())
		}
	})
}

// trim deletes the events of a topic before an ID.
func (s *scene) trim(topic, before string) {
	s.t.Helper()
	filter, err := store.NewFilter(topic)
	if err == nil {
		_, err = s.log.Trim(s.t.Context(), filter, *parseID(s.t, before))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestGapBelowAGap: what a topic loses while it is held back is reported, even after a later loss of another topic was
// reported.
func TestGapBelowAGap(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", ordered(deliver.ByTopic, "orders.>"))
		first := s.publish(1, "orders.ok")
		synctest.Wait()
		s.Pause(t.Context(), "shop")
		bad := strings.Fields(s.publish(2, "orders.bad"))
		lost := strings.Fields(s.publish(2, "orders.ok"))
		s.trim("orders.ok", lost[1])
		s.receiver.set(failing(500, "orders.bad"))
		s.Resume(t.Context(), "shop")
		time.Sleep(time.Minute)
		s.trim("orders.bad", bad[1])
		s.receiver.set(nil)
		s.receiver.take()
		time.Sleep(time.Hour)
		s.expectSent("gap-" + first + "-" + bad[0] + " " + bad[1])
	})
}

// TestGapOfAnotherOrder: what a held-back topic has lost is reported even if the order has changed meanwhile.
func TestGapOfAnotherOrder(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", ordered(deliver.ByTopic, "orders.>"))
		first := s.publish(1, "orders.ok")
		s.receiver.set(always(500))
		bad := strings.Fields(s.publish(3, "orders.bad"))
		time.Sleep(time.Minute)
		s.Pause(t.Context(), "shop")
		lost := strings.Fields(s.publish(3, "orders.ok"))
		s.trim("orders.ok", lost[2])
		s.receiver.set(failing(500, "orders.bad"))
		s.Resume(t.Context(), "shop")
		time.Sleep(time.Minute)
		s.trim("orders.bad", bad[1])
		s.receiver.take()
		time.Sleep(time.Hour)
		synctest.Wait()
		gap := "gap-" + first + "-" + bad[0]
		if all := s.receiver.take(); strings.Count(ids(all), gap) != 1 || !strings.HasPrefix(ids(all), gap+" "+bad[1]) {
			t.Errorf("sent %q, want %s and what follows it", ids(all), gap)
		}
		s.trim("orders.bad", bad[2])
		s.receiver.set(nil)
		s.put("shop", deliver.Settings{Order: deliver.Strict})
		time.Sleep(time.Minute)
		s.expectSent("gap-" + first + "-" + lost[1] + " " + bad[2] + " " + lost[2])
	})
}
