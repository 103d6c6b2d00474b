package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// trimStep is how many events one transaction deletes. On a full disk it is halved until it fits:
// deleting needs free pages itself.
const trimStep = 256

// Trim implements Log. A record that fails its checksum stays: whose it was is not certain, and it
// goes on telling readers that something is missing.
func (l *Bolt) Trim(ctx context.Context, f Filter, before ID) (int, error) {
	if head := l.Head(); head.Before(before) {
		before, _ = head.Next()
	}
	deleted, step := 0, trimStep
	r := l.NewReader(f, ID{})
	for {
		page, err := r.Next(step)
		if err != nil {
			return deleted, fmt.Errorf("trim: %w", err)
		}
		var ids []ID
		for i := range page.Events {
			if id := page.Events[i].ID; id.Before(before) {
				ids = append(ids, id)
			}
		}
		for len(ids) > 0 {
			n := min(step, len(ids))
			done, err := l.trimStep(ctx, ids[:n])
			if errors.Is(err, ErrNoSpace) && n > 1 {
				step = n / 2
				continue
			}
			if err != nil {
				return deleted, fmt.Errorf("trim: %w", err)
			}
			deleted, ids = deleted+done, ids[n:]
		}
		if next, ok := page.Through.Next(); !ok || !next.Before(before) || !page.Through.Before(l.Head()) {
			return deleted, nil
		}
	}
}

func (l *Bolt) trimStep(ctx context.Context, ids []ID) (deleted int, err error) {
	l.trims.Lock()
	defer l.trims.Unlock()
	err = l.queue.do(ctx, &request{weight: draftBytes, op: func() (err error) {
		deleted, err = l.committer.trim(ids)
		return err
	}})
	return deleted, err
}

// trim deletes the records that are still there in one transaction, on the committer's goroutine. A crash before update
// returns leaves all of them or none; the marks that make the gap exact are in the same transaction.
func (c *committer) trim(ids []ID) (deleted int, err error) {
	marks := make(map[*topic]ID)
	err = c.update(func(tx *bbolt.Tx) error {
		if deleted, err = c.deleteRecords(tx, ids, marks); err != nil {
			return err
		}
		c.index.announce(marks)
		return nil
	})
	switch {
	case err == nil:
		c.counters.trimmed.Add(uint64(deleted))
		if last := ids[len(ids)-1]; c.Trimmed().Before(last) {
			c.Bolt.trimmed.Store(&last)
		}
		for t := range marks {
			c.space.trimmed(t.state.bytes - t.work.bytes)
		}
		c.index.trimmed(marks)
	case errors.Is(err, ErrNoSpace):
		for t := range marks {
			t.work = t.state
		}
		c.index.announce(nil)
	}
	return deleted, err
}

func (c *committer) deleteRecords(tx *bbolt.Tx, ids []ID, marks map[*topic]ID) (deleted int, err error) {
	log, sparse, topics := tx.Bucket(bucketLog), tx.Bucket(bucketSparse), tx.Bucket(bucketTopics)
	for _, id := range ids {
		value := log.Get(id[:])
		r, ok := decodeRecord(id[:], value)
		if !ok {
			continue // deleted by another Trim, or damaged
		}
		t := c.index.byID[r.topic]
		w := &t.work
		w.count--
		w.bytes -= uint64(len(id) + len(value))
		w.trimmed = id
		marks[t] = id
		deleted++
		if err := log.Delete(id[:]); err != nil {
			return 0, err
		}
		if r.indexed {
			if err := sparse.Delete(sparseKey(t.id, id)); err != nil {
				return 0, err
			}
		}
	}
	for t := range marks {
		if err := putTopic(topics, t); err != nil {
			return 0, err
		}
	}
	if last := ids[len(ids)-1]; c.Trimmed().Before(last) {
		return deleted, putMeta(tx, metaTrimmed, last[:])
	}
	return deleted, nil
}

// announce tells readers which marks the transaction about to commit sets; nil takes them back.
func (x *index) announce(marks map[*topic]ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trims++
	x.trimming = marks
}

// trimmed publishes the marks of a trim that is durable.
func (x *index) trimmed(marks map[*topic]ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trims++
	x.trimming = nil
	for t := range marks {
		x.show(t)
	}
}
