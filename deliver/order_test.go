package deliver_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
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

func ordered(order deliver.Order, patterns ...string) deliver.Settings {
	set := settings(patterns...)
	set.Order = order
	return set
}

// traffic counts the requests under way at once.
type traffic struct {
	mu     sync.Mutex
	now    map[string]int // by topic
	all    int
	most   int
	topics map[string]int // most of each
}

func newTraffic() *traffic { return &traffic{now: make(map[string]int), topics: make(map[string]int)} }

// watch counts requests while answer has them.
func (x *traffic) watch(answer func(int, got) *http.Response) func(int, got) *http.Response {
	return func(n int, r got) *http.Response {
		topic := r.header.Get("Tidings-Topic")
		x.mu.Lock()
		x.now[topic]++
		x.all++
		x.most, x.topics[topic] = max(x.most, x.all), max(x.topics[topic], x.now[topic])
		x.mu.Unlock()
		defer func() {
			x.mu.Lock()
			x.now[topic]--
			x.all--
			x.mu.Unlock()
		}()
		return answer(n, r)
	}
}

// slow is a receiver that takes a request after a while, unless it is cut off.
func slow(d time.Duration) func(int, got) *http.Response {
	return func(_ int, r got) *http.Response {
		select {
		case <-time.After(d):
			return status(200)
		case <-r.ctx.Done():
			return nil
		}
	}
}

// failing fails requests for a topic, and takes others.
func failing(code int, topic string) func(int, got) *http.Response {
	return func(_ int, r got) *http.Response {
		if r.header.Get("Tidings-Topic") == topic {
			return status(code)
		}
		return status(200)
	}
}

// rows counts the rows of the log.
func (s *scene) rows() int {
	s.t.Helper()
	rows, err := s.log.Deliveries()
	if err != nil {
		s.t.Fatal(err)
	}
	return len(rows)
}

// TestOrders: whatever the receiver does, and over kills, each event is sent until it is taken, within a topic the next
// not before; and nothing is kept for events that are done.
func TestOrders(t *testing.T) {
	for _, order := range []deliver.Order{deliver.ByTopic, deliver.Parallel} {
		t.Run(string(order), func(t *testing.T) {
			test(t, func(t *testing.T, s *scene) { testOrder(t, s, order) })
		})
	}
}

func testOrder(t *testing.T, s *scene, order deliver.Order) {
	random, kills, x := rand.New(rand.NewPCG(5, 6)), rand.New(rand.NewPCG(7, 8)), newTraffic()
	var drawing sync.Mutex
	s.receiver.set(x.watch(func(_ int, r got) *http.Response {
		drawing.Lock()
		n := random.IntN(12)
		drawing.Unlock()
		switch n {
		case 0:
			return nil
		case 1:
			return slow(time.Minute)(0, r) // longer than any timeout
		case 2:
			return status(500)
		}
		return slow(time.Duration(n)*100*time.Millisecond)(0, r)
	}))
	set := ordered(order, "orders.>")
	set.InFlight = 3
	s.put("shop", set)
	var want []string
	all := s.publish(400, "orders.a", "orders.b", "tickets", "orders.c", "orders.d", "orders.a")
	for i, id := range strings.Fields(all) {
		if i%6 != 2 {
			want = append(want, id)
		}
	}
	for range 12 {
		time.Sleep(time.Duration(kills.IntN(20)) * time.Second)
		s.kill()
	}
	time.Sleep(12 * time.Hour)
	synctest.Wait()
	taken, last := make(map[string]bool), make(map[string]string)
	for _, g := range s.receiver.take() {
		topic := g.header.Get("Tidings-Topic")
		if g.id > last[topic] {
			if order == deliver.ByTopic && last[topic] != "" && !taken[last[topic]] {
				t.Errorf("%s comes before %s of the same topic is taken", g.id, last[topic])
			}
			last[topic] = g.id
		}
		taken[g.id] = taken[g.id] || g.ok
	}
	for _, id := range want {
		if !taken[id] {
			t.Errorf("%s has not come", id)
		}
	}
	if len(taken) != len(want) {
		t.Errorf("%d events have come, want %d", len(taken), len(want))
	}
	if x.most != 3 {
		t.Errorf("at most %d requests at once, want 3", x.most)
	}
	if most := x.topics["orders.a"]; (order == deliver.ByTopic) != (most == 1) {
		t.Errorf("%d requests of a topic at once", most)
	}
	status := s.expect("shop", deliver.Running)
	if at := want[len(want)-1]; status.At.String() != at || status.HeldBack != 0 || s.rows() != 1 {
		t.Errorf("at %v with %d held back and %d rows, want all done at %s", status.At, status.HeldBack, s.rows(), at)
	}
}

// TestHeldBack: a topic that fails waits alone, also over a kill, and comes in order once it is taken. What others got
// meanwhile is not sent again.
func TestHeldBack(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", ordered(deliver.ByTopic, "orders.>"))
		first := s.publish(1, "orders.ok")
		s.expectSent(first)
		s.receiver.set(failing(500, "orders.bad"))
		ids := strings.Fields(s.publish(100, "orders.bad", "orders.ok"))
		var bad, good []string
		for i, id := range ids {
			if i%2 == 0 {
				bad = append(bad, id)
			} else {
				good = append(good, id)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var ok []string
		for _, g := range s.receiver.take() {
			if g.ok {
				ok = append(ok, g.id)
			} else if g.id != bad[0] {
				t.Errorf("%s overtakes", g.id)
			}
		}
		if !slices.Equal(ok, good) {
			t.Errorf("of the other topic %d came, want %d in order", len(ok), len(good))
		}
		status := s.expect("shop", deliver.Failing)
		if status.HeldBack != 1 || status.At.String() != first || status.Front.String() != ids[99] ||
			status.Due != bad[0] || status.Attempts < 4 || !status.Next.After(time.Now()) {
			t.Errorf("it is %+v", status)
		}
		s.kill()
		if again := s.expect("shop", deliver.Failing); again.Attempts < status.Attempts || again.Due != bad[0] {
			t.Errorf("after a kill it is %+v", again)
		}
		s.receiver.take()
		s.receiver.set(nil)
		more := s.publish(1, "orders.bad")
		time.Sleep(5 * time.Minute)
		s.expectSent(strings.Join(append(bad, more), " "))
		s.expect("shop", deliver.Running)
		s.kill()
		s.expectSent("")
	})
}

// TestHeldBackLimit: beyond MaxHeldBack topics the rest waits, and nothing is lost.
func TestHeldBackLimit(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", ordered(deliver.ByTopic, "orders.>"))
		s.receiver.set(always(500))
		var topics []string
		for i := range deliver.MaxHeldBack + 1 {
			topics = append(topics, fmt.Sprintf("orders.%d", i))
		}
		ids := strings.Fields(s.publish(len(topics), topics...))
		status := s.expect("shop", deliver.Failing)
		if status.HeldBack != deliver.MaxHeldBack || status.Front.String() != ids[deliver.MaxHeldBack-1] {
			t.Errorf("%d are held back, and the front is %s", status.HeldBack, status.Front)
		}
		s.receiver.set(nil)
		s.receiver.take()
		s.kill()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if all := s.receiver.take(); len(all) != len(ids) || !slices.ContainsFunc(all,
			func(g got) bool { return g.id == ids[deliver.MaxHeldBack] }) {
			t.Errorf("%d have come, want %d", len(all), len(ids))
		}
		if s.expect("shop", deliver.Running); s.rows() != 1 {
			t.Errorf("%d rows are left", s.rows())
		}
	})
}

// TestSlowFailures: topics that fail slowly leave requests to the rest.
func TestSlowFailures(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := ordered(deliver.ByTopic, "orders.>")
		set.InFlight = 2
		s.put("shop", set)
		s.receiver.set(func(n int, r got) *http.Response {
			if strings.HasPrefix(r.header.Get("Tidings-Topic"), "orders.bad") {
				return slow(time.Minute)(n, r)
			}
			return status(200)
		})
		s.publish(9, "orders.bad1", "orders.bad2", "orders.bad3")
		time.Sleep(3 * time.Minute)
		for range 20 {
			synctest.Wait()
			s.receiver.take()
			id := s.publish(1, "orders.ok")
			time.Sleep(time.Second)
			synctest.Wait()
			if all := s.receiver.take(); !slices.ContainsFunc(all, func(g got) bool { return g.id == id }) {
				t.Errorf("of %q nothing is sent of another topic", ids(all))
			}
			time.Sleep(7 * time.Second)
		}
	})
}

// TestHaltInOrder: a pause, a 410 and giving up end all requests under way, and a Retry-After delays the others.
func TestHaltInOrder(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		x := newTraffic()
		set := ordered(deliver.Parallel, "orders")
		set.OnGiveUp, set.GiveUpAfter = deliver.Stop, time.Hour
		s.put("shop", set)
		s.receiver.set(x.watch(slow(20 * time.Second)))
		s.publish(40, "orders")
		time.Sleep(time.Second) // they take turns
		synctest.Wait()
		if x.all != deliver.DefaultInFlight {
			t.Errorf("%d requests at once", x.all)
		}
		began := time.Now()
		if _, err := s.Pause(t.Context(), "shop"); err != nil || time.Since(began) > 0 || x.all != 0 {
			t.Errorf("%v after %v, and %d are under way", err, time.Since(began), x.all)
		}
		s.receiver.take()
		ends := func(code int, header ...string) {
			t.Helper()
			s.receiver.take()
			var first sync.Once
			s.receiver.set(x.watch(func(n int, r got) *http.Response {
				is := false
				if first.Do(func() { is = true }); is {
					time.Sleep(time.Second)
					return status(code, header...)
				}
				return slow(20*time.Second)(n, r)
			}))
			if _, err := s.Resume(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		if ends(410); x.all != 0 {
			t.Errorf("%d are under way after a 410", x.all)
		}
		s.expect("shop", deliver.Disabled)
		ends(429, "Retry-After", "600")
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if n := len(s.receiver.take()); n != deliver.DefaultInFlight || s.get("shop").Attempts != 1 {
			t.Errorf("%d requests while it asks for none", n)
		}
		s.receiver.set(always(500))
		time.Sleep(2 * time.Hour)
		s.expect("shop", deliver.GivenUp)
		s.receiver.take()
		time.Sleep(2 * time.Hour)
		s.expectSent("")
	})
}

// TestLettersInOrder: by default an event that has failed for too long is set aside, and the next of its topic sent; a
// skip passes the named event, unless that cannot be written.
func TestLettersInOrder(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		set := ordered(deliver.ByTopic, "orders.>")
		set.GiveUpAfter = time.Hour
		if on := s.put("shop", set).OnGiveUp; on != deliver.SetAside {
			t.Errorf("on giving up it will %s", on)
		}
		s.receiver.set(failing(422, "orders.bad"))
		bad := strings.Fields(s.publish(4, "orders.bad"))
		time.Sleep(90 * time.Minute)
		s.expectDead("shop", bad[0])
		s.receiver.take()
		if due := s.expect("shop", deliver.Failing).Due; due != bad[1] {
			t.Errorf("%s fails, want the next one", due)
		}
		if _, err := s.Skip(t.Context(), "shop", bad[2]); !errors.Is(err, deliver.ErrState) {
			t.Errorf("skip of another: %v", err)
		}
		s.log.fail(store.ErrNoSpace)
		if _, err := s.Skip(t.Context(), "shop", bad[1]); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("skip: %v", err)
		}
		s.log.fail(nil)
		s.expectSent(bad[1])
		if _, err := s.Skip(t.Context(), "shop", bad[1]); err != nil {
			t.Fatal(err)
		}
		s.expectSent(bad[2])
		s.kill()
		s.receiver.set(nil)
		time.Sleep(time.Hour)
		s.receiver.take()
		s.expectDead("shop", bad[0])
		if at := s.get("shop").At.String(); at != bad[3] {
			t.Errorf("it is at %s", at)
		}
	})
}

// TestOrderChanges: a new order restarts at the oldest event that is not done; topics no longer sent are no longer held
// back.
func TestOrderChanges(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.put("shop", ordered(deliver.ByTopic, "orders.>"))
		s.receiver.set(failing(500, "orders.bad"))
		first := s.publish(6, "orders.ok", "orders.bad", "orders.ok")
		time.Sleep(time.Minute)
		s.put("shop", deliver.Settings{Order: deliver.Strict})
		synctest.Wait()
		s.receiver.take()
		s.receiver.set(nil)
		time.Sleep(time.Hour)
		s.expectSent(strings.Join(strings.Fields(first)[1:], " "))
		if s.rows() != 1 {
			t.Errorf("%d rows", s.rows())
		}
		s.put("shop", deliver.Settings{Order: deliver.ByTopic})
		s.receiver.set(failing(500, "orders.bad"))
		s.publish(3, "orders.ok", "orders.bad")
		time.Sleep(time.Minute)
		other, _ := store.NewFilter("orders.ok")
		s.put("shop", deliver.Settings{Topics: other})
		if status := s.expect("shop", deliver.Running); status.HeldBack != 0 || status.At != status.Front {
			t.Errorf("it is %+v", status)
		}
		time.Sleep(time.Minute)
		if err := s.Delete(t.Context(), "shop"); err != nil || s.rows() != 0 {
			t.Errorf("%d rows after a delete (%v)", s.rows(), err)
		}
		for field, set := range map[string]deliver.Settings{"order": {Order: "random"}, "in_flight": {InFlight: 101}} {
			s.put("shop", settings("orders"))
			var invalid *deliver.InvalidError
			if _, _, err := s.Put(t.Context(), "shop", set); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
	})
}
