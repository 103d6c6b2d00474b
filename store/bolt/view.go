package bolt

import (
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// view is the committer's commit.View: the index, and for keys, marks and records a read transaction that
// begins when first needed. No read-write transaction is open meanwhile.
type view struct {
	*committer
	tx        *bbolt.Tx
	beginning bool  // bbolt holds its locks
	err       error // of the transaction; the decision is then void
}

// decide makes a commit of the batch, and sets each request's outcome for when that is applied.
func (c *committer) decide(batch []*request) (decided *commit.Commit, err error) {
	err = c.mayHang(func() error {
		decided, err = c.decideThrough(batch)
		return err
	})
	return decided, err
}

// decideThrough is decide through a view of a file that may turn out to be unreadable.
func (c *committer) decideThrough(batch []*request) (decided *commit.Commit, err error) {
	c.requests = c.requests[:0]
	for _, r := range batch {
		c.requests = append(c.requests, &r.Request)
	}
	v := &c.view
	*v = view{committer: c}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = c.file.unreadable(p, !v.beginning)
		}
		v.end()
	}()
	if err := c.file.failure(); err != nil {
		return nil, err
	}
	decided, outcomes := c.decider.Decide(v, c.requests)
	if v.err != nil {
		return nil, v.err
	}
	for i, r := range batch {
		r.outcome = outcomes[i]
	}
	return decided, nil
}

// end ends the transaction, if there is one.
func (v *view) end() {
	if v.tx != nil {
		_ = v.tx.Rollback() // a read transaction can only fail here by having ended
		v.file.counters.reading.Add(-1)
	}
}

// bucket returns a bucket as the last commit left it, nil if it cannot be read: err says why.
func (v *view) bucket(name []byte) *bbolt.Bucket {
	if v.tx == nil && v.err == nil {
		v.beginning = true
		v.tx, v.err = v.file.db.Begin(false)
		if v.beginning = false; v.err == nil {
			v.file.counters.reading.Add(1)
		}
	}
	if v.err != nil {
		return nil
	}
	return v.tx.Bucket(name)
}

func (v *view) get(bucket, key []byte) []byte {
	b := v.bucket(bucket)
	if b == nil {
		return nil
	}
	return b.Get(key)
}

// State implements commit.View.
func (v *view) State() commit.State {
	now := v.now()
	v.watchClock(now)
	return commit.State{
		Last: v.horizon.Head(), Now: now, Epoch: v.epoch, NewEpoch: !v.epochKept, Topics: len(v.horizon.index.byID),
		Bare: v.bare, Keys: v.keys.held, OldestKey: v.keys.oldest, KeysPast: v.keysPast(now), Marks: v.marks,
		NoRoom: v.space.check(), Limits: v.limits,
	}
}

// keysPast returns the time up to which keys are forgotten.
func (c *committer) keysPast(now time.Time) time.Time {
	if c.past == nil {
		return now.Add(-c.window)
	}
	return c.past(c.window)
}

// Topic implements commit.View. Reading the index needs no lock here: nobody else writes it.
func (v *view) Topic(name string) (commit.TopicState, bool) {
	t := v.horizon.index.byName[name]
	if t == nil {
		return commit.TopicState{}, false
	}
	return commit.TopicState{Number: t.id, Newest: t.visible.last, Ended: t.visible.ended}, true
}

// Trimmed implements commit.View.
func (v *view) Trimmed(topic uint32) store.ID { return v.horizon.index.byID[topic].visible.trimmed }

// Retained implements commit.View.
func (v *view) Retained(id store.ID) bool { return v.get(bucketLog, id[:]) != nil }

// Key implements commit.View.
func (v *view) Key(hash commit.Hash) (commit.Key, bool) {
	known, ok := v.keys.byHash[hash]
	if !ok {
		return commit.Key{}, false
	}
	first := known // it escapes to the heap only here
	k, ok := decodeKey(first[:], v.get(bucketKeys, first[:]))
	if !ok || k.Hash != hash {
		v.logger.Warn("an idempotency key is damaged; what is published under it is stored again",
			"id", first)
		return commit.Key{}, false
	}
	return k, true
}

// OldestKeys implements commit.View.
func (v *view) OldestKeys(n int) (oldest []commit.Key) {
	b := v.bucket(bucketKeys)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for id, value := c.First(); id != nil && len(oldest) < n; id, value = c.Next() {
		k, _ := decodeKey(id, value)
		k.First = store.ID(id)
		oldest = append(oldest, k)
	}
	return oldest
}

// Shares implements commit.View.
func (v *view) Shares() *commit.Shares { return &v.shares }

// Delivery implements commit.View.
func (v *view) Delivery(name string) []byte {
	d, _ := decodeDelivery([]byte(name), v.get(bucketDeliveries, []byte(name)))
	return d.Record
}

// Mark implements commit.View.
func (v *view) Mark(subject, name string) (store.Mark, bool) {
	key := markKey(subject, name)
	value := v.get(bucketMarks, key)
	mark, _ := decodeMark(key, value) // a damaged one is replaced
	return mark, value != nil
}
