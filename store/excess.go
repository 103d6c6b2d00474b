package store

import "go.etcd.io/bbolt"

const (
	// excessStep bounds the records that one transaction of Excess looks at.
	excessStep = 1024

	// excessRecord is a guess at the bytes of a record, so that few more are looked at than are too much.
	excessRecord = 256
)

// Excess implements Log. The lock keeps every Trim out, so that what is counted is what is read: an
// append meanwhile only adds to what is kept.
func (l *Bolt) Excess(f Filter, events, bytes uint64) (last ID, err error) {
	l.trims.Lock()
	defer l.trims.Unlock()
	var count, size uint64 // of what is too much, as far as it has not been found yet
	l.index.mu.RLock()
	l.index.match(f, ID{}, func(t *topic) {
		count += t.state.count
		size += t.state.bytes
	})
	l.index.mu.RUnlock()
	count, size = limited(count, events), limited(size, bytes)

	r := l.NewReader(f, ID{}).(*reader)
	r.bare = true
	for count > 0 || size > 0 {
		page, err := r.Next(int(min(excessStep, 1+max(count, size/excessRecord))))
		if err != nil {
			return ID{}, err
		}
		for i := range page.Events {
			last, count, size = page.Events[i].ID, less(count, 1), less(size, r.rows[i].size)
			if count == 0 && size == 0 {
				return last, nil
			}
		}
		if !page.Corrupt.IsZero() { // it counts, and no Trim takes it: what follows it must not go in its place
			n, err := l.recordSize(page.Corrupt)
			if err != nil {
				return ID{}, err
			}
			if n > 0 {
				last, count, size = page.Corrupt, less(count, 1), less(size, n)
			}
		}
		if !page.Through.Before(l.Head()) {
			break
		}
	}
	return last, nil
}

// limited is how much of n is above the limit, 0 being no limit.
func limited(n, limit uint64) uint64 {
	if limit == 0 {
		return 0
	}
	return less(n, limit)
}

// less is n - m, but not below 0.
func less(n, m uint64) uint64 { return n - min(n, m) }

// recordSize returns what the record adds to the books, 0 if there is none.
func (l *Bolt) recordSize(id ID) (size uint64, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		if value := tx.Bucket(bucketLog).Get(id[:]); value != nil {
			size = uint64(len(id) + len(value))
		}
		return nil
	})
	return size, err
}
