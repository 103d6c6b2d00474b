package retention_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/retention"
)

// TestOutlook: an age is kept for as long as it says; a number of events or bytes for as long as that many took to
// arrive, which is exactly when retention deletes the oldest if the rate stays the same.
func TestOutlook(t *testing.T) {
	var hourly []at // for ten hours, and every second one of b
	for h := 10; h > 0; h-- {
		hourly = append(hourly, at{map[bool]string{true: "b", false: "a"}[h%2 == 0], time.Duration(h) * time.Hour})
	}
	count := func(pattern string, n uint64) retention.Policy {
		return retention.Policy{Events: []retention.Limit[uint64]{{Pattern: pattern, Max: n}}}
	}
	both := ages(retention.Limit[time.Duration]{Max: day}, retention.Limit[time.Duration]{Pattern: "b", Max: time.Hour})
	for _, c := range []struct {
		name           string
		policy         retention.Policy
		a, b, shortest time.Duration
	}{
		{"an age", ages(retention.Limit[time.Duration]{Max: day}), day, day, day},
		{"one of a topic", both, day, time.Hour, time.Hour},
		{"half as many events as there are", count("", 5), 5 * time.Hour, 5 * time.Hour, 5 * time.Hour},
		{"twice as many", count("", 20), 20 * time.Hour, 20 * time.Hour, 20 * time.Hour},
		{"so many of a topic", count("b", 5), 0, 10 * time.Hour, 0},
		{"so many of another one", count("c", 5), 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, err := retention.NewOutlook(logOf(t, hourly...), c.policy)
				if err != nil {
					t.Fatal(err)
				}
				keeps := func(topic string) time.Duration {
					d, err := o.Keeps(topic, time.Now())
					if err != nil {
						t.Fatal(err)
					}
					return d.Round(time.Second)
				}
				shortest, err := o.Shortest(time.Now())
				a, b := keeps("a"), keeps("b")
				if a != c.a || b != c.b || shortest.Round(time.Second) != c.shortest || err != nil {
					t.Errorf("a is kept for %v and b for %v, nothing less than %v (%v), want %v, %v and %v", a, b, shortest, err,
						c.a, c.b, c.shortest)
				}
				if alerts := keeps("$alerts.b"); c.policy.Age != nil && alerts != c.b {
					t.Errorf("what is about b is kept for %v, want %v", alerts, c.b)
				}
			})
		})
	}
}
