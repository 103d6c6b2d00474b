package alert

import (
	"maps"
	"time"

	"tidings/store"
)

// Counts counts events of all alerts since New.
type Counts struct {
	Steps uint64 // how many were taken
}

// claimBounds are the buckets of Stats.Claims, in seconds.
var claimBounds = []float64{5, 15, 30, 60, 120, 300, 900, 3600}

// Stats is for metrics.
type Stats struct {
	Counts
	States map[State]int
	More   int // matching events that wait beyond Options.MaxOpen
	Held   bool
	Oldest time.Time // when the oldest open, unclaimed alert was opened; zero: there is none
	Kept   time.Time // when the oldest event of an alert that is not done was committed; zero: there is none

	Unheard map[string]bool // by rule: it is reported that nobody would hear its alerts

	// By rule: how long its alerts were unclaimed before somebody claimed them, since New, in seconds.
	Claims map[string]store.Histogram
}

// Stats returns the current statistics.
func (b *Board) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	s := Stats{Counts: b.counts, Held: b.held, States: map[State]int{}, Claims: make(map[string]store.Histogram),
		Unheard: make(map[string]bool)}
	for _, state := range []State{Open, Snoozed, Claimed} {
		s.States[state] = 0
	}
	for _, a := range b.alerts {
		state := a.state(now)
		if state == Done {
			continue
		}
		if s.Kept.IsZero() { // the oldest come first
			s.Kept = a.id.Time()
		}
		if s.States[state]++; state == Open && s.Oldest.IsZero() {
			s.Oldest = a.opened()
		}
	}
	for name, r := range b.rules {
		s.More += r.More
		s.Unheard[name] = b.unheard(r)
		claims := r.claims
		claims.Buckets = maps.Clone(claims.Buckets)
		s.Claims[name] = claims
	}
	return s
}

// noteClaim counts the claim of an unclaimed alert. The caller holds mu.
func (b *Board) noteClaim(a *alert, claim store.ID) {
	if b.loading {
		return
	}
	took := max(0, claim.Time().Sub(a.opened()).Seconds())
	for i := range a.Rules {
		r := b.rules[a.Rules[i].Rule]
		if r == nil {
			continue
		}
		r.claims.Count++
		r.claims.Sum += took
		for _, bound := range claimBounds {
			if took <= bound {
				r.claims.Buckets[bound]++
			}
		}
	}
}
