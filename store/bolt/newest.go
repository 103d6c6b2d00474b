package bolt

import (
	"container/heap"
	"math"

	"tidings/store"
)

// newestScan is how many records are looked at before the matching topics are listed, of which
// there may be a million.
const newestScan = 4096

// Newest implements store.Log. It goes back through the log itself, unless that comes to cost more
// than walking the chains of the matching topics.
func (l *Log) Newest(f store.Filter, before store.ID, n int) (position store.ID, err error) {
	most := newestScan
	if f.IsAll() {
		most = math.MaxInt
	}
	if _, exact := f.Topics(); !exact {
		found := false
		err = l.snapshotAll(store.ID{}, func(s *snapshot) error {
			position, found = s.newestByScan(f, before, n, most)
			return nil
		})
		if found || err != nil {
			return position, err
		}
	}
	err = l.snapshot(selection{filter: f}, store.ID{}, true, func(s *snapshot) error {
		var ok bool
		if position, ok = s.newestByScan(f, before, n, stepsPerSeek*len(s.matched)); ok {
			return nil
		}
		if position, ok = s.newestByChains(before, n); !ok {
			position, _ = s.newestByScan(f, before, n, math.MaxInt)
		}
		return nil
	})
	return position, err
}

// back is the next event of a topic on the way back.
type back struct {
	*match
	id store.ID
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

// newestByChains walks the chains backwards, always the one whose next event is the newest. It
// returns false when one is broken.
func (s *snapshot) newestByChains(before store.ID, n int) (position store.ID, ok bool) {
	var h backs
	for i := range s.matched {
		m := &s.matched[i]
		id, ok := s.below(m, before)
		if !ok {
			return store.ID{}, false
		}
		if !id.IsZero() {
			h = append(h, back{m, id})
		}
	}
	heap.Init(&h)
	for ; len(h) > 0; n-- {
		if n == 0 {
			return h[0].id, true
		}
		position = h[0].id.Prev()
		older, ok := s.older(h[0].match, h[0].id)
		if !ok {
			return store.ID{}, false
		}
		if older.IsZero() {
			heap.Pop(&h)
		} else {
			h[0].id = older
			heap.Fix(&h, 0)
		}
	}
	return position, true
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

// older returns m's retained event before the one at id, zero if there is none.
func (s *snapshot) older(m *match, id store.ID) (older store.ID, ok bool) {
	ok = s.walk(m, id, store.ID{}, func(at store.ID) bool {
		if at.Before(id) {
			older = at
		}
		return older.IsZero()
	})
	return older, ok
}

// newestByScan goes back through the log itself, and returns false after so many records. Those
// that are damaged do not count.
func (s *snapshot) newestByScan(f store.Filter, before store.ID,
	n, most int) (position store.ID, ok bool) {
	c := s.records.Cursor()
	at := before.Prev()
	if s.head.Before(at) {
		at = s.head
	}
	at = keyAtOrBelow(c, at)
	for ; !at.IsZero(); most-- {
		if most == 0 {
			return store.ID{}, false
		}
		k, v := c.Seek(at[:])
		if r, ok := s.decode(k, v); ok && f.Match(s.topics[r.topic].name) {
			if n == 0 {
				return at, true
			}
			n--
			position = at.Prev()
		}
		k, _ = c.Prev()
		if k == nil {
			break
		}
		at = store.ID(k)
	}
	return position, true
}
