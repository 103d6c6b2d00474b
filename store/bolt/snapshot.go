package bolt

import (
	"go.etcd.io/bbolt"

	"tidings/store"
)

// snapshot is one read transaction together with the state of the index at exactly the same moment.
type snapshot struct {
	from    selection
	after   store.ID
	head    store.ID
	trims   *trimming // earlier ones are known: they were over before the last transaction began
	newest  *trimming // the last one known
	records *bbolt.Bucket
	at      *bbolt.Cursor // of records, for get: a bucket's Get creates one per call
	sparse  *bbolt.Bucket
	topics  []*topic // by id
	matched []match  // the topics of the filter with something above the position
	trimmed store.ID // newest trimmed ID of the filter above the position, zero if none
}

// match is a topic as it was when the snapshot was taken.
type match struct {
	*topic
	last    store.ID
	trimmed store.ID // events up to here are gone from the transaction
}

// snapshot runs fn on the log as the selection sees it from after. Its topics are listed if something was
// trimmed above after, unless the selection names them: all trims are then locked out.
//
// The order makes it exact. The head comes first: the index has every topic up to it. The topics come before
// the transaction, which therefore contains their newest events. For each trim that was being committed when
// the listing began, or has been since, the presence of the last record that it takes from a topic shows
// whether the transaction is before or after it.
func (l *Log) snapshot(from selection, after store.ID, fn func(*snapshot) error) error {
	s := l.begin(from, after)
	if from.only == nil && after.Before(l.Trimmed()) {
		l.list(s)
	}
	return l.open(s, func() error { return fn(s) })
}

// begin returns a snapshot without topics and without a transaction.
func (l *Log) begin(from selection, after store.ID) *snapshot {
	s := &snapshot{from: from, after: after, head: l.Head()}
	l.index.mu.RLock()
	defer l.index.mu.RUnlock()
	s.trims, s.newest = l.index.trim, l.index.trim
	s.topics = l.index.byID
	return s
}

// list lists the topics.
func (l *Log) list(s *snapshot) {
	l.index.list(s.from, s.after, func(t *topic) {
		s.matched = append(s.matched, match{t, t.visible.last, t.visible.trimmed})
		s.tell(t.visible.trimmed)
	})
}

// open runs fn with a transaction. It may be called again: a later transaction may have lost to trims what
// the one before it had, and has nothing more below the head.
func (l *Log) open(s *snapshot, fn func() error) error {
	return l.view(func(tx *bbolt.Tx) error {
		s.open(tx)
		marks, newest := l.index.trimsSince(s.trims)
		s.trim(marks)
		s.trims, s.newest = s.newest, newest
		return fn()
	})
}

// trimsSince returns the marks of a step and of all that follow it, and the last one.
func (x *index) trimsSince(step *trimming) (marks []map[*topic]store.ID, last *trimming) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for ; step != nil; last, step = step, step.next {
		if len(step.marks) > 0 {
			marks = append(marks, step.marks)
		}
	}
	return marks, last
}

// trim determines how far the topics are trimmed in the transaction, given the marks that it may have.
func (s *snapshot) trim(steps []map[*topic]store.ID) {
	trimmed := make(map[*topic]store.ID)
	for _, marks := range steps {
		for t, mark := range marks {
			if trimmed[t].Before(mark) && s.from.has(t) && s.get(mark) == nil {
				trimmed[t] = mark
				s.tell(mark)
			}
		}
	}
	for i := range s.matched {
		if len(trimmed) == 0 {
			break
		}
		if m := &s.matched[i]; m.trimmed.Before(trimmed[m.topic]) {
			m.trimmed = trimmed[m.topic]
		}
	}
}

// tell records that a topic of the filter is trimmed up to the mark.
func (s *snapshot) tell(mark store.ID) {
	if s.after.Before(mark) && s.trimmed.Before(mark) {
		s.trimmed = mark
	}
}

// snapshotAll is snapshot for a filter of everything: the log's own mark replaces the topics'.
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
	s.at = s.records.Cursor()
}

// get returns the value of the record under id, nil if there is none.
func (s *snapshot) get(id store.ID) []byte {
	if k, v := s.at.Seek(id[:]); string(k) == string(id[:]) {
		return v
	}
	return nil
}

// top returns the end of the next stretch of m's chain above low, and whether it is the last one: the next
// event with a sparse key, or the newest event.
func (s *snapshot) top(m *match, low store.ID) (top store.ID, last bool) {
	if next, ok := low.Next(); ok {
		k, _ := s.sparse.Cursor().Seek(sparseKey(m.id, next))
		if len(k) == 20 && string(k[:4]) == string(sparseKey(m.id, store.ID{})[:4]) {
			return store.ID(k[4:]), false
		}
	}
	return m.last, true
}

// walk visits m's events from top down to low, which it does not visit, newest first. It returns false if a
// record on the way is damaged or missing, so that the ones below it cannot be reached; a damaged record
// itself has been visited then.
func (s *snapshot) walk(m *match, top, low store.ID, visit func(store.ID) (more bool)) bool {
	low = store.Later(low, m.trimmed)
	for id := top; low.Before(id); {
		value := s.get(id)
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
