package bolt

import (
	"container/heap"
	"math"
	"slices"

	"tidings/store"
)

const (
	// newestScan is how many records are examined before the matching topics are listed; there may be a
	// million of them.
	newestScan = 4096

	// seekStep bounds the topics looked up in one transaction.
	seekStep = 256
)

// look walks back through the events that a filter matches, in as many transactions as needed.
type look struct {
	l      *Log
	filter store.Filter
	before store.ID // events at or above it have been examined

	n, bytes int // still wanted
	position store.ID
}

// Newest implements store.Log. It walks back through the log itself, unless that would cost more than walking
// the chains of the matching topics.
func (l *Log) Newest(f store.Filter, before store.ID, n, maxBytes int) (store.ID, error) {
	k := &look{l: l, filter: f, before: before, n: n, bytes: maxBytes}
	most := newestScan
	if _, exact := f.Topics(); exact || f.IsAll() {
		most = 0
	}
	done, err := k.scan(most)
	if done || err != nil {
		return k.position, err
	}
	topics, events, bytes := l.matched(f)
	if uint64(n) >= events && uint64(maxBytes) >= bytes {
		return l.oldest(f, before)
	}
	most = stepsPerSeek * topics
	if f.IsAll() {
		most = math.MaxInt
	}
	if done, err = k.scan(most); done || err != nil {
		return k.position, err
	}
	if done, err = k.walk(); done || err != nil {
		return k.position, err
	}
	_, err = k.scan(math.MaxInt)
	return k.position, err
}

// matched returns how many topics match, and what they retain.
func (l *Log) matched(f store.Filter) (topics int, events, bytes uint64) {
	if f.IsAll() {
		l.index.mu.RLock()
		defer l.index.mu.RUnlock()
		return len(l.index.byID), l.index.events, l.index.bytes
	}
	l.index.list(selection{filter: f}, store.ID{}, func(t *topic) {
		topics++
		events += t.visible.count
		bytes += t.visible.bytes
	})
	return topics, events, bytes
}

// oldest returns the position before the oldest event that f matches, zero if there is none below
// the given ID.
func (l *Log) oldest(f store.Filter, before store.ID) (store.ID, error) {
	r := l.NewReader(f, store.ID{})
	for {
		page, err := r.Next(1)
		switch {
		case err != nil:
			return store.ID{}, err
		case len(page.Events) > 0 && page.Events[0].ID.Before(before):
			return page.Events[0].ID.Prev(), nil
		case len(page.Events) > 0 || !page.Through.Before(before.Prev()) ||
			!page.Through.Before(l.Head()):
			return store.ID{}, nil
		}
	}
}

// take counts an event, and reports whether it is the one after which the newest n begin.
func (k *look) take(id store.ID, size int) (done bool) {
	if k.n == 0 || k.bytes < 0 {
		k.position = id
		return true
	}
	k.n--
	k.bytes -= size
	k.position, k.before = id.Prev(), id
	return false
}

// scan walks back through the log itself, and returns false after most records. Damaged ones do not match.
func (k *look) scan(most int) (done bool, err error) {
	for most > 0 && !done && err == nil {
		step := min(most, scanStep)
		most -= step
		err = k.l.snapshotAll(store.ID{}, func(s *snapshot) error {
			done = k.scanStep(s, step)
			return nil
		})
	}
	return done, err
}

func (k *look) scanStep(s *snapshot, most int) (done bool) {
	c := s.records.Cursor()
	at := k.before.Prev()
	if s.head.Before(at) {
		at = s.head
	}
	at = keyAtOrBelow(c, at)
	if at.IsZero() {
		return true
	}
	for key, v := c.Seek(at[:]); key != nil; key, v = c.Prev() {
		if most == 0 {
			return false
		}
		most--
		id := store.ID(key)
		r, ok := s.decode(key, v)
		if ok && k.filter.Match(s.topics[r.topic].name) && k.take(id, len(v)) {
			return true
		}
		k.before = id
	}
	return true
}

// back is the next event of a topic on the way back. Its record is read when its turn comes.
type back struct {
	*match
	id    store.ID
	older store.ID
	size  int
}

type backs []back

func (b backs) Len() int           { return len(b) }
func (b backs) Less(i, j int) bool { return b[j].id.Before(b[i].id) }
func (b backs) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b *backs) Push(x any)        { *b = append(*b, x.(back)) }
func (b *backs) Pop() any {
	last := len(*b) - 1
	x := (*b)[last]
	*b = (*b)[:last]
	return x
}

// walk walks the chains backwards, always the one whose next event is the newest. It returns false if a chain
// is broken.
func (k *look) walk() (done bool, err error) {
	s := k.l.begin(selection{filter: k.filter}, store.ID{})
	k.l.list(s)
	var h backs
	whole := true
	for topics := range slices.Chunk(s.matched, seekStep) {
		err := k.l.open(s, func() error {
			for i := range topics {
				whole = whole && h.begin(s, &topics[i], k.before)
			}
			return nil
		})
		if err != nil || !whole {
			return false, err
		}
	}
	heap.Init(&h)
	for len(h) > 0 && whole && !done {
		err := k.l.open(s, func() error {
			for steps := 0; steps < scanStep && len(h) > 0 && whole && !done; steps++ {
				if whole = h[0].read(s); whole {
					done = h[0].retained() && k.take(h[0].id, h[0].size)
				}
				if whole && !done {
					h.next()
				}
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	return whole, nil
}

// retained returns false if the event was trimmed since it was found.
func (b *back) retained() bool { return b.trimmed.Before(b.id) }

// begin adds m's newest event below the given ID, if there is one. It returns false if that cannot be
// reached.
func (b *backs) begin(s *snapshot, m *match, before store.ID) (ok bool) {
	id, ok := m.last, true
	if !id.Before(before) || s.head.Before(id) {
		id, ok = s.below(m, before)
	}
	if ok && m.trimmed.Before(id) {
		*b = append(*b, back{match: m, id: id})
	}
	return ok
}

// read reads the event's record, once. It returns false if it is not what the chain says.
func (b *back) read(s *snapshot) (ok bool) {
	if b.size > 0 || !b.retained() {
		return true
	}
	value := s.get(b.id)
	r, ok := decodeRecord(b.id[:], value)
	b.older, b.size = r.prev, len(value)
	return ok && r.topic == b.match.id && r.prev.Before(b.id)
}

// next replaces the first event with the one before it in its topic.
func (b *backs) next() {
	first := &(*b)[0]
	if !first.trimmed.Before(first.older) {
		heap.Pop(b)
		return
	}
	*first = back{match: first.match, id: first.older}
	heap.Fix(b, 0)
}

// below returns m's newest retained event below the given ID and not above the head, zero if none.
func (s *snapshot) below(m *match, before store.ID) (id store.ID, ok bool) {
	if before.IsZero() {
		return store.ID{}, true
	}
	// the first sparse key at or above before, or the newest event
	top, _ := s.top(m, before.Prev())
	ok = s.walk(m, top, store.ID{}, func(at store.ID) bool {
		if at.Before(before) {
			id = at
		}
		return id.IsZero()
	})
	return id, ok
}
