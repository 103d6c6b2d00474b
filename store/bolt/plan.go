package bolt

import (
	"container/heap"
	"slices"

	"tidings/store"
)

const (
	// planIDs is about how many IDs a plan holds, so that a reader's memory does not depend on its
	// filter.
	planIDs = 4096

	// stepsPerSeek is how many records can be scanned in the time that walking to one takes.
	stepsPerSeek = 4
)

// chain is how far planning has come in one topic.
type chain struct {
	*match
	known store.ID // every event of the topic up to here is in the plan
	whole bool
}

// chains is a heap: the chain known least far first.
type chains []chain

func (c chains) Len() int           { return len(c) }
func (c chains) Less(i, j int) bool { return c[i].known.Before(c[j].known) }
func (c chains) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *chains) Push(x any)        { *c = append(*c, x.(chain)) }
func (c *chains) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}

// makePlan merges the chains of the matching topics into what comes next after the position. A
// chain is walked backwards, a stretch between two sparse keys at a time, always the one that is
// known least far; the plan is complete up to the least known end. No plan is made when the topics
// hold so much of the log that scanning it costs less.
func (r *reader) makePlan(s *snapshot) {
	r.plan, r.through = r.plan[:0], s.head
	if !r.sparse && len(s.matched) > 0 && s.share*stepsPerSeek >= s.events {
		r.stride = stepsPerSeek
		return
	}
	var h chains
	for i := range s.matched {
		h = append(h, chain{match: &s.matched[i], known: r.pos})
	}
	limit, walked, unbroken := r.merge(s, h)
	if !unbroken {
		return
	}
	if len(h) > 0 && h[0].known.Before(r.through) {
		r.through = h[0].known
	}
	if limit.Before(r.through) {
		r.through = limit
	}
	r.addSuspects()
	slices.SortFunc(r.plan, store.ID.Compare)
	keep, exact := slices.BinarySearchFunc(r.plan, r.through, store.ID.Compare)
	if exact {
		keep++
	}
	r.plan = r.plan[:keep]
	r.stride = 0
	if cost := walked / max(1, len(r.plan)); cost > stepsPerSeek {
		r.stride = stepsPerSeek * cost
	}
}

// merge walks the chains until the plan has enough. It returns the ID above which none are kept, how
// many records it has walked, and false when a chain is broken: then only a scan finds all up to
// scanTo.
func (r *reader) merge(s *snapshot, h chains) (limit store.ID, walked int, unbroken bool) {
	limit = store.MaxID
	for len(h) > 0 && (!r.pos.Before(h[0].known) || len(r.plan) < planIDs) && !h[0].whole {
		c := &h[0]
		top, last := s.top(c.match, c.known)
		unbroken = s.walk(c.match, top, c.known, func(id store.ID) bool {
			walked++
			if !limit.Before(id) {
				r.plan = append(r.plan, id)
			}
			return true
		})
		if !unbroken {
			r.plan, r.scanTo = r.plan[:0], top
			return limit, walked, false
		}
		if c.known, c.whole = top, last; last {
			c.known = store.MaxID
		}
		heap.Fix(&h, 0)
		if len(r.plan) >= 2*planIDs {
			slices.SortFunc(r.plan, store.ID.Compare)
			r.plan = r.plan[:planIDs]
			limit = r.plan[planIDs-1]
		}
	}
	return limit, walked, true
}

// addSuspects plans the records found damaged at Open, whatever topic they belonged to.
func (r *reader) addSuspects() {
	for _, id := range r.l.suspects {
		if r.pos.Before(id) && !r.through.Before(id) && !slices.Contains(r.plan, id) {
			r.plan = append(r.plan, id)
		}
	}
}
