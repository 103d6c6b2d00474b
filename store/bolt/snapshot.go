package bolt

import (
	"go.etcd.io/bbolt"

	"tidings/store"
)

// snapshot is one read transaction together with what the index says of exactly the same moment.
type snapshot struct {
	head    store.ID
	records *bbolt.Bucket
	sparse  *bbolt.Bucket
	topics  []*topic // by id
	matched []match  // the topics of the filter with something above the position
	events  uint64   // retained in the whole log
	share   uint64   // of them, in the matched topics
	trimmed store.ID // newest trimmed ID of the filter above the position, zero if none
}

// match is a topic as it was when the snapshot was taken.
type match struct {
	*topic
	last    store.ID
	trimmed store.ID // events up to here are gone from the transaction
}

// snapshot runs fn on the log as the selection sees it from after. Its topics are listed when list
// is set, or when something was trimmed above after; with topics of its own, from which every trim
// is locked out, only then.
//
// The order is what makes it exact. The head comes first: the index has every topic up to it. The
// topics come before the transaction: it contains their tips. And for each trim that was being
// committed when the listing began, or was since, the presence of the record that it takes last from
// a topic tells whether the transaction is before or after it.
func (l *Log) snapshot(from selection, after store.ID, list bool, fn func(*snapshot) error) error {
	s := snapshot{head: l.Head()}
	x := l.index
	x.mu.RLock()
	trim := x.trim
	s.topics, s.events = x.byID, x.events
	x.mu.RUnlock()
	if list || from.only == nil && after.Before(l.Trimmed()) {
		x.list(from, after, func(t *topic) {
			s.matched = append(s.matched, match{t, t.visible.last, t.visible.trimmed})
			s.share += t.visible.count
		})
	}
	return l.view(func(tx *bbolt.Tx) error {
		s.open(tx)
		s.trim(x.trimsSince(trim), from, after)
		return fn(&s)
	})
}

// trimsSince returns the marks of a step and of all that follow it.
func (x *index) trimsSince(step *trimming) (marks []map[*topic]store.ID) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for ; step != nil; step = step.next {
		if len(step.marks) > 0 {
			marks = append(marks, step.marks)
		}
	}
	return marks
}

// trim finds out up to where the topics are trimmed in the transaction, given the marks that it may
// have.
func (s *snapshot) trim(steps []map[*topic]store.ID, from selection, after store.ID) {
	trimmed := make(map[*topic]store.ID)
	for _, marks := range steps {
		for t, mark := range marks {
			if trimmed[t].Before(mark) && from.has(t) && s.records.Get(mark[:]) == nil {
				trimmed[t] = mark
				s.tell(mark, after)
			}
		}
	}
	for i := range s.matched {
		m := &s.matched[i]
		if mark := trimmed[m.topic]; m.trimmed.Before(mark) {
			m.trimmed = mark
		}
		s.tell(m.trimmed, after)
	}
}

// tell notes that a topic of the filter is trimmed up to the mark.
func (s *snapshot) tell(mark, after store.ID) {
	if after.Before(mark) && s.trimmed.Before(mark) {
		s.trimmed = mark
	}
}

// snapshotAll is snapshot for a filter of everything: the log's own mark takes the place of the
// topics'.
func (l *Log) snapshotAll(after store.ID, fn func(*snapshot) error) error {
	s := snapshot{head: l.Head()}
	l.index.mu.RLock()
	s.topics = l.index.byID
	l.index.mu.RUnlock()
	return l.view(func(tx *bbolt.Tx) error {
		s.open(tx)
		mark, err := getMetaID(tx, metaTrimmed)
		if err != nil {
			return l.fail(err)
		}
		if after.Before(mark) {
			s.trimmed = mark
		}
		return fn(&s)
	})
}

func (s *snapshot) open(tx *bbolt.Tx) {
	s.records, s.sparse = tx.Bucket(bucketLog), tx.Bucket(bucketSparse)
}

// top returns the end of the next stretch of m's chain above low, and whether it is the last one:
// the next event with a sparse key, or the newest event there is.
func (s *snapshot) top(m *match, low store.ID) (top store.ID, last bool) {
	if next, ok := low.Next(); ok {
		k, _ := s.sparse.Cursor().Seek(sparseKey(m.id, next))
		if len(k) == 20 && string(k[:4]) == string(sparseKey(m.id, store.ID{})[:4]) {
			return store.ID(k[4:]), false
		}
	}
	return m.last, true
}

// walk visits m's events from top down to low, which it does not visit, newest first. It returns
// false when a record on the way is damaged or missing, so that the ones below it are out of reach;
// a damaged record itself has been visited then.
func (s *snapshot) walk(m *match, top, low store.ID, visit func(store.ID) (more bool)) bool {
	if low.Before(m.trimmed) {
		low = m.trimmed
	}
	for id := top; low.Before(id); {
		value := s.records.Get(id[:])
		r, ok := decodeRecord(id[:], value)
		if ok && r.topic != m.id || value == nil {
			return false // the key that led here is wrong
		}
		if !s.head.Before(id) && !visit(id) {
			return true
		}
		if !ok || !r.prev.Before(id) {
			return false
		}
		id = r.prev
	}
	return true
}
