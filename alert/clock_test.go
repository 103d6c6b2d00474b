package alert_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/alert"
	"tidings/internal/nodes"
	"tidings/store"
	"tidings/store/storetest"
)

// TestClocks: a step is at most one delay early or late, whatever the clock showed that gave the alert its ID, and
// whatever it shows after a restart; without a restart it is at its time.
func TestClocks(t *testing.T) {
	delays := []time.Duration{time.Minute, 3 * time.Minute}
	const year = 365 * 24 * time.Hour
	for _, ahead := range []time.Duration{-24 * time.Hour, -time.Hour, 0, time.Hour, 24 * time.Hour, 10 * year} {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v ahead, kill %v", ahead, kill), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &scene{t: t, log: &faulty{Log: storetest.NewModel(storetest.Options{
						Now: func() time.Time { return time.Now().Add(ahead) }})}}
					s.open()
					defer s.log.Close()
					defer func() { s.close() }()
					s.rule(nil, delays...)
					began := time.Now()
					s.publish("orders.eu", "order.created")
					var taken []time.Duration
					for range 500 {
						time.Sleep(time.Second)
						if at := time.Since(began); kill && at == 30*time.Second {
							s.kill()
						}
						synctest.Wait()
						for len(taken) < strings.Count(s.answers("$alerts.orders.eu"), "step") {
							taken = append(taken, time.Since(began))
						}
					}
					if len(taken) != len(delays) {
						t.Fatalf("steps were taken after %v, want %v", taken, delays)
					}
					for i, delay := range delays {
						slack := time.Duration(0)
						if kill && ahead != 0 {
							slack = delay
						}
						if late := (taken[i] - delay).Abs(); late > slack {
							t.Errorf("step %d was taken after %v, want %v within %v", i+1, taken[i], delay, slack)
						}
					}
				})
			})
		}
	}
}

// TestClocksAtNight: the steps of an alert that came in the night count from the morning, within one delay, whatever
// the clock said that gave it its ID, and over a restart. Nothing else is published meanwhile.
func TestClocksAtNight(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, ahead := range []time.Duration{-24 * time.Hour, -time.Hour, 0, time.Hour, 12 * time.Hour, 24 * time.Hour,
		10 * year} {
		for _, kill := range []time.Duration{0, evening + time.Hour, morning + 30*time.Second} {
			t.Run(fmt.Sprintf("%v ahead, kill at %v", ahead, kill), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					delays := []time.Duration{time.Minute, 3 * time.Minute}
					taken := stepsAtNight(t, ahead, kill, delays)
					if len(taken) != len(delays) {
						t.Fatalf("steps were taken %v after the opening, want %v", taken, delays)
					}
					for i, delay := range delays {
						if late := (taken[i] - delay).Abs(); taken[i] < 0 || late > delay {
							t.Errorf("step %d was taken %v after the opening, want %v", i+1, taken[i], delay)
						}
					}
				})
			})
		}
	}
}

const evening, morning = 22 * time.Hour, 33 * time.Hour // since the epoch

// stepsAtNight publishes in the evening and returns when steps were taken, from the opening in the morning. The process
// is killed at kill, unless that is 0.
func stepsAtNight(t *testing.T, ahead, kill time.Duration, delays []time.Duration) (taken []time.Duration) {
	s := &scene{t: t, log: &faulty{Log: storetest.NewModel(storetest.Options{
		Now: func() time.Time { return time.Now().Add(ahead) }})}}
	s.open()
	defer s.log.Close()
	defer func() { s.close() }()
	s.rule(func(r *alert.Rule) {
		r.Hours = &alert.Hours{Zone: "UTC", Open: []alert.Window{{Days: week, From: "09:00", To: "18:00"}}}
	}, delays...)
	time.Sleep(evening)
	s.publish("orders.eu", "order.created")
	for at := evening; at < morning+10*time.Minute; at = time.Since(epoch) {
		if at < morning-time.Minute {
			time.Sleep(time.Minute)
		} else {
			time.Sleep(time.Second)
		}
		if time.Since(epoch) == kill {
			s.kill()
		}
		synctest.Wait()
		for len(taken) < strings.Count(s.answers("$alerts.orders.eu"), "step") {
			taken = append(taken, time.Since(epoch)-morning)
		}
	}
	return taken
}

// TestClockOfAnotherServer: the age of an alert that another server has followed is measured by the log's clock: a
// server that takes over with a fast clock does not take all steps at once.
func TestClockOfAnotherServer(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, time.Minute, 10*time.Minute)
		s.publish("orders.eu", "order.created")
		time.Sleep(2 * time.Minute)
		s.close()
		s.o = alert.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }, LogTime: time.Now}
		s.open()
		time.Sleep(2 * time.Minute)
		s.expectAnswers("step1@1m0s")
		time.Sleep(10 * time.Minute)
		s.expectAnswers("step1@1m0s step2@10m0s")
	})
}

// TestStepWithoutLease: if another server takes the steps by now, that is not logged as an error for each step.
func TestStepWithoutLease(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.close()
		var lines bytes.Buffer
		s.o.Logger = slog.New(slog.NewTextHandler(&lines, nil))
		s.open()
		s.rule(nil, time.Minute)
		s.publish("orders.eu", "order.created")
		s.log.fail(fmt.Errorf("%w: nothing was stored", nodes.ErrNoLease))
		time.Sleep(2 * time.Minute)
		s.close()
		s.log.fail(nil)
		if strings.Contains(lines.String(), "cannot be stored") {
			t.Error(lines.String())
		}
		s.open()
	})
}

// TestRuleOnEverything: the server's events about alerts are not alerts of a rule on everything.
func TestRuleOnEverything(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(func(r *alert.Rule) { r.Topics = []string{">"} }, time.Second, time.Minute)
		id := s.publish("orders.eu", "order.created")
		time.Sleep(time.Minute)
		s.expectAnswers("step1@1s step2@1m0s")
		if got := s.ids(); got != id.String() {
			t.Errorf("open is %q, want %v alone", got, id)
		}
		s.claim(id, "Ana")
		time.Sleep(time.Minute)
		if got := s.ids(); got != id.String() {
			t.Errorf("open is %q, want %v alone", got, id)
		}
	})
}

// TestFlood: of 100,000 events in a minute that all match, a rule follows as many as it may and counts the rest, and
// takes steps only for those that it follows.
func TestFlood(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		s.rule(nil, 0)
		const minute, batch = 100, 1000
		for range minute {
			drafts := make([]store.Draft, batch)
			for i := range drafts {
				drafts[i] = store.Draft{Topic: "orders.eu", Type: "order.created", Data: json.RawMessage(`{}`)}
			}
			if _, err := store.Append(t.Context(), s.log, drafts); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute / minute)
		}
		time.Sleep(time.Minute)
		list, err := s.List(store.All(), false, store.ID{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if list.Open != 10_000 || list.More != 90_000 {
			t.Errorf("%d are open and %d more wait, want 10,000 and 90,000", list.Open, list.More)
		}
		f, err := store.NewFilter("$alerts.orders.eu")
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		for r := s.log.NewReader(f, store.ID{}); ; {
			page, err := r.Next(1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Events) == 0 {
				break
			}
			steps += len(page.Events)
		}
		if steps != 10_000 {
			t.Errorf("%d steps were taken, want one of each that is open", steps)
		}
	})
}
