package retention_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/retention"
	"tidings/store"
)

// TestNeeded: while it is unknown what is needed nothing is deleted; then what is not needed is.
func TestNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logOf(t, at{"a", 3 * day}, at{"a", 2 * day}, at{"b", 2 * day}, at{"a", time.Hour})
		second := nth(t, log, 2)
		p := ages(retention.Limit[time.Duration]{Max: day})
		p.Events = []retention.Limit[uint64]{{Max: 1}, {Pattern: "b", Max: 1}}
		trimmer, err := retention.New(log, p)
		if err != nil {
			t.Fatal(err)
		}
		unknown := errors.New("not known")
		trimmer.Keep(func() (func(string) store.ID, error) {
			return func(topic string) store.ID { return map[string]store.ID{"a": second}[topic] }, unknown
		})
		for _, left := range []uint64{4, 2} {
			if _, err := trimmer.Trim(t.Context(), time.Now()); !errors.Is(err, unknown) {
				t.Fatal(err)
			}
			if n := count(t, log); n != left {
				t.Errorf("%d events are left, want %d", n, left)
			}
			unknown = nil
			time.Sleep(time.Minute)
		}
	})
}

// TestJudgeNeeded: old events that are all needed are no evidence against the clock.
func TestJudgeNeeded(t *testing.T) {
	for _, limits := range [][]retention.Limit[time.Duration]{{{Max: 30 * day}}, {{Pattern: "a", Max: 30 * day}}} {
		for needed, doubt := range map[int]bool{1: false, 2: true} {
			synctest.Test(t, func(t *testing.T) {
				log := logOf(t, at{"a", 40 * day}, at{"a", 35 * day})
				trimmer, err := retention.New(log, ages(limits...))
				if err != nil {
					t.Fatal(err)
				}
				from := nth(t, log, needed)
				trimmer.Keep(func() (func(string) store.ID, error) {
					return func(string) store.ID { return from }, nil
				})
				clk := bubbleClock()
				if err := trimmer.Judge(clk); err != nil || clk.Doubted() != doubt {
					t.Errorf("%v, needed from the event %d on: doubted %v, %v", limits, needed, clk.Doubted(), err)
				}
			})
		}
	}
}

// nth is the ID of the nth event of a log.
func nth(t *testing.T, log store.Log, n int) store.ID {
	t.Helper()
	page, err := log.NewReader(store.Everything(), store.ID{}).Next(n)
	if err != nil {
		t.Fatal(err)
	}
	return page.Events[n-1].ID
}
