package alert

import (
	"maps"
	"time"

	"tidings/store"
)

// Counts are of all alerts since New.
type Counts struct {
	Steps uint64 // that were taken
}

// claimBounds are the buckets of Stats.Claims, in seconds.
var claimBounds = []float64{5, 15, 30, 60, 120, 300, 900, 3600}

// Stats are for metrics.
type Stats struct {
	Counts
	States map[State]int
	More   int // matching events that wait beyond Options.MaxOpen
	Held   bool
	Oldest time.Time // of what is open and nobody's; zero: nothing is
	Kept   time.Time // of the oldest event that is not done, claimed or not; zero: there is none

	Unheard map[string]bool // whether it is said that nobody would hear the alerts of a rule

	// How long it took until alerts of a rule that nobody had were claimed, since New, in seconds.
	Claims map[string]store.Histogram
}

// Stats returns them as of about now.
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

// noteClaim notes that somebody has taken what was nobody's. The caller holds mu.
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
