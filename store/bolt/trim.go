package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// trimStep is how many events one transaction deletes at most: few, because appends wait for it
// too. On a full disk it is halved until it fits, for deleting needs free pages itself.
const trimStep = 128

// Trim implements store.Log. A record that fails its checksum stays: whose it was is not certain,
// and it goes on telling readers that something is missing.
func (l *Log) Trim(ctx context.Context, f store.Filter, before store.ID) (int, error) {
	if head := l.Head(); head.Before(before) {
		before, _ = head.Next()
	}
	deleted, steps := 0, l.newSteps()
	r := l.NewReader(f, store.ID{}).(*reader)
	r.idsOnly = true
	for {
		page, err := r.Next(steps.size)
		if err != nil {
			return deleted, fmt.Errorf("trim: %w", err)
		}
		var ids []store.ID
		for i := range page.Events {
			if id := page.Events[i].ID; id.Before(before) {
				ids = append(ids, id)
			}
		}
		n, err := steps.delete(ctx, ids)
		deleted += n
		if err != nil {
			return deleted, err
		}
		if next, ok := page.Through.Next(); !ok || !next.Before(before) ||
			!page.Through.Before(l.Head()) {
			return deleted, nil
		}
	}
}

// steps deletes in transactions of a size that fits.
type steps struct {
	l    *Log
	size int // events
}

func (l *Log) newSteps() *steps { return &steps{l, trimStep} }

// delete deletes the events, which are the oldest of their topics and in order, and returns how
// many were still there.
func (s *steps) delete(ctx context.Context, ids []store.ID) (deleted int, err error) {
	for len(ids) > 0 {
		n := min(s.size, len(ids))
		done, err := s.step(ctx, ids[:n])
		if errors.Is(err, store.ErrNoSpace) && n > 1 {
			s.size = n / 2
			continue
		}
		if err != nil {
			return deleted, fmt.Errorf("trim: %w", err)
		}
		deleted, ids = deleted+done, ids[n:]
	}
	return deleted, nil
}

func (s *steps) step(ctx context.Context, ids []store.ID) (deleted int, err error) {
	s.l.trims.RLock()
	defer s.l.trims.RUnlock()
	r := &request{weight: draftBytes, trim: ids}
	err = s.l.queue.do(ctx, r)
	return r.deleted, err
}

// trim deletes the records that the batch's trims name and that are still there. The marks that
// make the gap exact are put into the same transaction, after what is stored.
func (c *committer) trim(tx *bbolt.Tx, b *buckets, batch []*request) error {
	for _, r := range batch {
		r.deleted = 0
		for _, id := range r.trim {
			ok, err := c.delete(b, id)
			if err != nil {
				return err
			}
			if ok {
				r.deleted++
			}
		}
		c.deleted += r.deleted
	}
	c.highest = c.Trimmed()
	for _, id := range c.trimming {
		if c.highest.Before(id) {
			c.highest = id
		}
	}
	if c.highest == c.Trimmed() {
		return nil
	}
	return putMeta(tx, metaTrimmed, c.highest[:])
}

// delete returns false for a record that another Trim has deleted, and for one that is damaged.
func (c *committer) delete(b *buckets, id store.ID) (ok bool, err error) {
	value := b.records.Get(id[:])
	r, ok := decodeRecord(id[:], value)
	if !ok {
		return false, nil
	}
	t := c.index.byID[r.topic]
	size := uint64(len(id) + len(value))
	t.next.count--
	t.next.bytes -= size
	t.next.trimmed = id
	if c.trimming == nil {
		c.trimming = make(map[*topic]store.ID)
	}
	c.trimming[t] = id
	c.freed += size
	if r.indexed {
		if err := b.sparse.Delete(sparseKey(t.id, id)); err != nil {
			return false, err
		}
	}
	return true, b.records.Delete(id[:])
}

// announce tells readers which marks the transaction about to commit sets; nil takes them back.
func (x *index) announce(marks map[*topic]store.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trims++
	x.trimming = marks
}

// trimmed publishes the marks of a trim that is durable. The caller holds mu.
func (x *index) trimmed(marks map[*topic]store.ID) {
	x.trims++
	x.trimming = nil
	for t := range marks {
		x.show(t)
	}
}
