package bolt

import (
	"bytes"
	"container/heap"
	"slices"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// planIDs is roughly the maximum number of IDs in a plan, so that a reader's memory does not depend on its
// filter. A plan is made for the number of events asked for; if it walked far for them, the next one is for
// twice as many.
const planIDs = 4096

// chain is how far planning has come in one topic.
type chain struct {
	*match
	known store.ID // every event of the topic up to here is in the plan
	whole bool
}

// chains is a heap: the chain known least far comes first.
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

// planning is how far a plan has come.
type planning struct {
	chains chains
	want   int      // IDs
	limit  store.ID // no IDs above it are kept
	walked int      // records
	broken bool     // a chain is broken: only a scan finds everything up to reader.scanTo
}

// makePlan merges the chains of the matching topics into the events that come next after the position. A
// chain is walked backwards, one stretch between two sparse keys at a time, always the one known least far;
// the plan is complete up to the least known end. It uses one transaction per step.
func (r *reader) makePlan(s *snapshot, want int) error {
	r.plan, r.through = r.plan[:0], s.head
	r.planned = min(planIDs, max(r.planned, want))
	p := planning{want: r.planned, limit: store.MaxID, chains: make(chains, len(s.matched))}
	for i := range s.matched {
		p.chains[i] = chain{match: &s.matched[i], known: r.pos}
	}
	for more := len(p.chains) > 0; more; {
		err := r.l.open(s, func() error {
			more = r.merge(s, &p)
			return nil
		})
		if err != nil {
			r.plan = r.plan[:0]
			return err
		}
	}
	if !p.broken {
		r.endPlan(&p)
	}
	return nil
}

// endPlan sorts the plan, and drops IDs beyond the point up to which it is complete.
func (r *reader) endPlan(p *planning) {
	if len(p.chains) > 0 && p.chains[0].known.Before(r.through) {
		r.through = p.chains[0].known
	}
	if p.limit.Before(r.through) {
		r.through = p.limit
	}
	r.addSuspects()
	slices.SortFunc(r.plan, store.ID.Compare)
	keep, exact := slices.BinarySearchFunc(r.plan, r.through, store.ID.Compare)
	if exact {
		keep++
	}
	r.plan = r.plan[:keep]
	r.stride = 0
	if p.walked > 2*len(r.plan) {
		r.planned *= 2
	}
	if cost := p.walked / max(1, len(r.plan)); cost > stepsPerSeek {
		r.stride = stepsPerSeek * cost
	}
}

// merge walks the chains for a step, and reports whether the plan needs more.
func (r *reader) merge(s *snapshot, p *planning) (more bool) {
	h := p.chains
	for steps := 0; ; steps++ {
		c := &h[0]
		if c.whole || r.pos.Before(c.known) && len(r.plan) >= p.want {
			return false
		}
		if steps >= scanStep {
			return true
		}
		top, last := s.top(c.match, c.known)
		unbroken := s.walk(c.match, top, c.known, func(id store.ID) bool {
			steps++
			p.walked++
			if !p.limit.Before(id) {
				r.plan = append(r.plan, id)
			}
			return true
		})
		if !unbroken {
			r.plan, r.scanTo, p.broken = r.plan[:0], top, true
			return false
		}
		if c.known, c.whole = top, last; last {
			c.known = store.MaxID
		}
		heap.Fix(&h, 0)
		if len(r.plan) >= 2*planIDs {
			slices.SortFunc(r.plan, store.ID.Compare)
			r.plan = r.plan[:planIDs]
			p.limit = r.plan[planIDs-1]
		}
	}
}

// addSuspects plans the records found damaged at Open, whatever topic they belonged to.
func (r *reader) addSuspects() {
	for _, id := range r.l.suspects {
		if r.pos.Before(id) && !r.through.Before(id) && !slices.Contains(r.plan, id) {
			r.plan = append(r.plan, id)
		}
	}
}

// forward finds records in log order. It steps from one to the next while they lie close together, and seeks
// from the root of the tree when they do not.
type forward struct {
	at         *bbolt.Cursor
	key, value []byte // the current record; nil before the first
	near       int    // records that were a few steps away, less those that were not
}

// get returns the value of the record under id, nil if there is none.
func (f *forward) get(id store.ID) []byte {
	for step := 0; f.key != nil && f.near > -stepsPerSeek; step++ {
		switch c := bytes.Compare(f.key, id[:]); {
		case c == 0:
			f.near++
			return f.value
		case c > 0:
			return nil
		case step == stepsPerSeek:
			f.near--
			f.key = nil
		default:
			f.key, f.value = f.at.Next()
		}
	}
	if f.key, f.value = f.at.Seek(id[:]); string(f.key) == string(id[:]) {
		return f.value
	}
	return nil
}
