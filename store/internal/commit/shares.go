package commit

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"slices"

	"tidings/store"
)

// Owner identifies who creates topics and has idempotency keys and read marks: the first bytes of the
// SHA-256 of the name. Zero is everyone without a name: for them there are no shares.
type Owner [6]byte

// OwnerOf returns the Owner of this name.
func OwnerOf(name string) (o Owner) {
	if name != "" {
		sum := sha256.Sum256([]byte(name))
		copy(o[:], sum[:])
	}
	return o
}

// Shares counts what each owner has of what a log limits: topics, keys and marks. An engine keeps it in
// memory beside its log. The zero Shares is empty. It belongs to one goroutine.
type Shares struct {
	byOwner map[Owner]*share
	crowd   crowd
}

// share is what one owner has.
type share struct {
	owner         Owner
	topics, marks int
	bare          int        // topics without an event
	keys          []store.ID // the Firsts, oldest first
	index         int        // in the crowd

	// While Crowd plans: keys that will be added, and how many will be gone.
	added []store.ID
	gone  int
}

// Topics returns how many topics the owner has created.
func (s *Shares) Topics(o Owner) int { return s.get(o).topics }

// Marks returns how many marks the owner has.
func (s *Shares) Marks(o Owner) int { return s.get(o).marks }

// AddTopics adds topics that the owner has created.
func (s *Shares) AddTopics(o Owner, n int) {
	x := s.of(o)
	x.topics += n
	s.tidy(x)
}

// Bare returns how many topics that the owner has created have no event now.
func (s *Shares) Bare(o Owner) int { return s.get(o).bare }

// AddBare adds topics that have lost their last event or, with a negative n, removes those that have one
// again.
func (s *Shares) AddBare(o Owner, n int) {
	x := s.of(o)
	x.bare += n
	s.tidy(x)
}

// AddMarks adds marks or, with a negative n, removes them.
func (s *Shares) AddMarks(o Owner, n int) {
	x := s.of(o)
	x.marks += n
	s.tidy(x)
}

// AddKey adds a key. An owner's keys usually come in the order of their Firsts.
func (s *Shares) AddKey(o Owner, first store.ID) {
	x := s.of(o)
	x.add(first)
	s.tidy(x)
}

// add keeps the keys in order.
func (x *share) add(first store.ID) {
	at := len(x.keys)
	if at > 0 && first.Before(x.keys[at-1]) {
		at, _ = slices.BinarySearchFunc(x.keys, first, store.ID.Compare)
	}
	x.keys = slices.Insert(x.keys, at, first)
}

// AddKeys adds keys; the keys of one batch have one owner.
func (s *Shares) AddKeys(keys []Key) {
	for len(keys) > 0 {
		owner := keys[0].Hash.Owner()
		x := s.of(owner)
		for len(keys) > 0 && keys[0].Hash.Owner() == owner {
			x.add(keys[0].First)
			keys = keys[1:]
		}
		s.tidy(x)
	}
}

// RemoveKey removes a key, nearly always the owner's oldest.
func (s *Shares) RemoveKey(o Owner, first store.ID) {
	x := s.of(o)
	if i, found := slices.BinarySearchFunc(x.keys, first, store.ID.Compare); found && i == 0 {
		x.keys = x.keys[1:]
	} else if found {
		x.keys = slices.Delete(x.keys, i, i+1)
	}
	s.tidy(x)
}

// Crowd returns the Firsts of the n keys to forget for lack of room once added are added and gone are
// gone: one after the other, each the oldest of the owner who then has most keys.
func (s *Shares) Crowd(added, gone []Key, n int) (firsts []store.ID) {
	changed := make(map[*share]bool)
	for _, k := range added {
		x := s.of(k.Hash.Owner())
		x.added, changed[x] = append(x.added, k.First), true
		heap.Fix(&s.crowd, x.index)
	}
	goes := func(x *share) {
		changed[x] = true
		x.gone++
		heap.Fix(&s.crowd, x.index)
	}
	for _, k := range gone {
		goes(s.of(k.Hash.Owner()))
	}
	for ; n > 0 && s.crowd[0].size() > 0; n-- {
		firsts = append(firsts, s.crowd[0].oldest())
		goes(s.crowd[0])
	}
	for x := range changed { // back as before: the commit is not applied yet
		x.added, x.gone = nil, 0
		s.tidy(x)
	}
	return firsts
}

func (s *Shares) get(o Owner) share {
	if x := s.byOwner[o]; x != nil {
		return *x
	}
	return share{}
}

func (s *Shares) of(o Owner) *share {
	x := s.byOwner[o]
	if x == nil {
		if s.byOwner == nil {
			s.byOwner = make(map[Owner]*share)
		}
		x = &share{owner: o}
		s.byOwner[o] = x
		heap.Push(&s.crowd, x)
	}
	return x
}

// tidy moves a changed share to its place in the heap, or removes it if nothing is left of it.
func (s *Shares) tidy(x *share) {
	if x.topics == 0 && x.marks == 0 && len(x.keys) == 0 {
		heap.Remove(&s.crowd, x.index)
		delete(s.byOwner, x.owner)
		return
	}
	heap.Fix(&s.crowd, x.index)
}

func (x *share) size() int { return len(x.keys) + len(x.added) - x.gone }

// oldest returns the First of the next key to forget; zero if there is none.
func (x *share) oldest() store.ID {
	switch i := x.gone - len(x.keys); {
	case i < 0:
		return x.keys[x.gone]
	case i < len(x.added):
		return x.added[i]
	}
	return store.ID{}
}

// crowd is a heap of shares: most keys first; of equals, the one with the older oldest key.
type crowd []*share

func (c crowd) Len() int { return len(c) }
func (c crowd) Less(i, j int) bool {
	a, b := c[i], c[j]
	return cmp.Or(b.size()-a.size(), a.oldest().Compare(b.oldest())) < 0
}
func (c crowd) Swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].index, c[j].index = i, j
}
func (c *crowd) Push(x any) {
	x.(*share).index = len(*c)
	*c = append(*c, x.(*share))
}
func (c *crowd) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return x
}
