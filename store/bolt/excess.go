package bolt

import (
	"tidings/store"
)

const (
	// excessStep bounds the records that one transaction of Excess looks at.
	excessStep = 1024

	// excessRecord is a guess at the bytes of a record, so that few more are looked at than are too
	// much.
	excessRecord = 256
)

// Excess implements store.Log. The lock keeps every Trim out, so that what is counted is what is
// read: an append meanwhile only adds to what is kept.
func (l *Log) Excess(f store.Filter, events, bytes uint64) (last store.ID, err error) {
	l.trims.Lock()
	defer l.trims.Unlock()
	var count, size uint64 // of what is too much, as far as it has not been found yet
	l.index.mu.RLock()
	l.index.match(f, store.ID{}, func(t *topic) {
		count += t.visible.count
		size += t.visible.bytes
	})
	l.index.mu.RUnlock()
	count, size = over(count, events), over(size, bytes)

	r := l.NewReader(f, store.ID{}).(*reader)
	r.idsOnly = true
	for count > 0 || size > 0 {
		page, err := r.Next(int(min(excessStep, 1+max(count, size/excessRecord))))
		if err != nil {
			return store.ID{}, err
		}
		for i := range page.Events {
			last, count, size = page.Events[i].ID, saturatingSub(count, 1),
				saturatingSub(size, r.rows[i].size)
			if count == 0 && size == 0 {
				return last, nil
			}
		}
		// it counts, and no Trim takes it: what follows it must not go in its place
		if !page.Corrupt.IsZero() {
			n, err := l.recordSize(page.Corrupt)
			if err != nil {
				return store.ID{}, err
			}
			if n > 0 {
				last, count, size = page.Corrupt, saturatingSub(count, 1), saturatingSub(size, n)
			}
		}
		if !page.Through.Before(l.Head()) {
			break
		}
	}
	return last, nil
}
