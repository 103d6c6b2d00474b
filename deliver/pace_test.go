package deliver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
)

// TestPace: a delivery that keeps up advances at the speed of the clock, one that stalls does not advance, and one that
// catches up is faster, starting from its resume.
func TestPace(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		time.Sleep(time.Hour)
		s.publish(1, "orders")
		s.put("shop", settings("orders"))
		expect := func(what string, min, max float64) {
			t.Helper()
			synctest.Wait()
			if pace := s.get("shop").Pace; pace < min || pace > max {
				t.Errorf("%s its pace is %v, want %v to %v", what, pace, min, max)
			}
		}
		for range 10 {
			time.Sleep(time.Minute)
			s.publish(1, "orders")
		}
		expect("keeping up", 0.9, 1.1)
		s.receiver.set(always(503))
		for range 30 {
			time.Sleep(time.Minute)
			s.publish(1, "orders")
		}
		expect("failing", 0, 0.1)
		s.Pause(t.Context(), "shop")
		s.receiver.set(func(int, got) *http.Response {
			time.Sleep(10 * time.Second)
			return status(200)
		})
		s.Resume(t.Context(), "shop")
		time.Sleep(2 * time.Minute)
		expect("six times as fast", 5, 7)
		s.expect("shop", deliver.Running)
	})
}
