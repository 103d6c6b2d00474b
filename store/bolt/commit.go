package bolt

import (
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// committer is the one goroutine that writes. It takes what has gathered, assigns IDs, writes one
// transaction, moves the head, wakes the readers and answers, and begins again. All fields are its
// own.
type committer struct {
	*Log
	// the last ID assigned: the stored head, never the last record, which may be trimmed
	last      store.ID
	keys      *keys
	space     space
	marks     int       // read marks in the file
	dirty     []*topic  // changed since their records were written
	reserved  bool      // the file has the reserve
	full      bool      // a commit found no space, and none has stored anything since
	warned    time.Time // when that was last logged
	since     int       // events since the last checkpoint
	journaled int       // entries in the journal
	// how many more of either the next checkpoint waits for: there was no space for it
	postponed int
	behind    bool  // the clock is behind the last ID; logged once
	size      int64 // of the file when it was last looked at; it never shrinks

	// Of the transaction under way.
	touched      []*topic
	created      map[string]*topic
	stored       int                 // events
	buf          []byte              // their records; bbolt refers to it until Commit
	deleted      int                 // events
	freed        uint64              // bytes of their records
	trimming     map[*topic]store.ID // the marks that it sets; readers keep it once it is announced
	highest      store.ID            // ever trimmed
	journaling   int                 // entries put into the journal
	checkpointed bool                // its records are those of a checkpoint
}

const (
	// sparseEvery is how many events of a topic share one key of the sparse index: so many records
	// are walked at most to find a position in a topic.
	sparseEvery = 128

	// checkpointEvery is after how many events the changed topics' records are written, and so how
	// many events Open counts again at most.
	checkpointEvery = 16 << 10

	// clockWarning is how far the clock may be behind the last ID before it is worth a warning.
	clockWarning = time.Second
)

func (c *committer) run() {
	defer close(c.stopped)
	var batch []*request
	for {
		if batch = c.queue.take(batch[:0]); len(batch) == 0 {
			c.checkpoint()
			return
		}
		if op := batch[0].op; op != nil {
			batch[0].answer(op())
		} else {
			c.commit(batch)
		}
		clear(batch)
	}
}

// commit makes the batch durable in one transaction, and answers it. When there is no space for
// that, each step of a trim goes in a transaction of its own, with the pages of the reserve, and
// then the appends, into the room that made: neither fails because of the other.
func (c *committer) commit(batch []*request) {
	err := c.try(batch)
	if errors.Is(err, store.ErrNoSpace) && (len(batch) > 1 || c.reserved) &&
		slices.ContainsFunc(batch, (*request).trims) {
		if c.reserved {
			_ = c.giveReserve() // best effort: without it the trims may fail, and say so
		}
		slices.SortStableFunc(batch, func(a, b *request) int { return len(b.trim) - len(a.trim) })
		for ; len(batch) > 0 && batch[0].trims(); batch = batch[1:] {
			answer(batch[:1], c.try(batch[:1]))
		}
		err = c.try(batch)
	}
	answer(batch, err)
}

// answer gives err to each request that was not refused on its own account.
func answer(batch []*request, err error) {
	for _, r := range batch {
		if r.err == nil {
			r.err = err
		}
		r.answer(r.err)
	}
}

// try commits the batch in one transaction. A crash before update returns leaves none or all of it,
// and nobody has been told. A crash after it leaves all of it.
func (c *committer) try(batch []*request) error {
	write := func(tx *bbolt.Tx) error { return c.write(tx, batch) }
	err := c.update(write)
	if errors.Is(err, store.ErrNoSpace) && c.checkpointed { // which can wait
		c.undo()
		c.postponed += checkpointEvery / 16
		err = c.update(write)
	}
	switch {
	case err == nil:
		c.publish()
		return nil
	case errors.Is(err, store.ErrNoSpace) && c.deleted > 0:
		c.index.announce(nil)
	case errors.Is(err, errNothing):
		err = nil
	}
	c.undo()
	return err
}

// topic returns the known or just created topic, else nil. Reading the index needs no lock here:
// nobody else writes it.
func (c *committer) topic(name string) *topic {
	if t := c.index.byName[name]; t != nil {
		return t
	}
	return c.created[name]
}

// write puts the batch into the transaction. What is trimmed goes first, so that a replay says so.
func (c *committer) write(tx *bbolt.Tx, batch []*request) error {
	b := newBuckets(tx)
	if err := c.trim(tx, b, batch); err != nil {
		return err
	}
	if err := c.store(tx, b, batch); err != nil {
		return err
	}
	switch {
	case c.stored == 0 && c.deleted == 0:
		return errNothing
	case c.due():
		c.checkpointed = true
		if err := c.writeCheckpoint(tx); err != nil {
			return err
		}
	case c.deleted > 0:
		if err := c.putTrimmed(tx, b); err != nil {
			return err
		}
	}
	if c.deleted > 0 {
		c.index.announce(c.trimming)
	}
	return nil
}

// store puts the groups of the batch into the transaction: records, sparse keys, idempotency keys,
// new topics, the head. A request that is refused has its own error set and leaves the others
// alone.
func (c *committer) store(tx *bbolt.Tx, b *buckets, batch []*request) error {
	id, err := c.mint()
	if err != nil {
		return err
	}
	full := c.space.check()
	for _, r := range batch {
		if r.err = c.admit(b, r, full); r.err != nil {
			continue
		}
		for i := range r.groups {
			g := &r.groups[i]
			if g.twin != nil {
				g.result = store.Result{IDs: g.twin.result.IDs, Replayed: true}
			}
			if g.result.Replayed {
				continue
			}
			if err := c.putGroup(b, g, &id); err != nil {
				return err
			}
			c.stored += len(g.drafts)
		}
	}
	if c.stored == 0 {
		return nil
	}
	if !c.reserved {
		if err := fillReserve(tx); err != nil {
			return err
		}
	}
	if err := c.keys.forget(b, c.now()); err != nil {
		return err
	}
	return putMeta(tx, metaHead, c.last[:])
}

// putGroup stores a group from *id on, and leaves the next free ID there.
func (c *committer) putGroup(b *buckets, g *group, id *store.ID) (err error) {
	g.result.IDs = make([]store.ID, len(g.drafts))
	for i := range g.drafts {
		if g.ids != nil {
			*id = g.ids[i]
		}
		if err := c.put(b, *id, &g.drafts[i]); err != nil {
			return err
		}
		g.result.IDs[i], c.last = *id, *id
		if *id, err = next(*id); err != nil {
			return err
		}
	}
	if g.key == nil {
		return nil
	}
	return c.keys.put(b, g.key, g.result.IDs)
}

// mint returns the next transaction's first ID: the present time and fresh entropy, or one above
// the last ID when that is higher. One rule serves clock steps, restarts and batches.
func (c *committer) mint() (store.ID, error) {
	now := c.now()
	fresh, err := store.NewID(now)
	if err != nil {
		return store.ID{}, err
	}
	if c.last.Before(fresh) {
		c.behind = false
		return fresh, nil
	}
	if behind := c.last.Time().Sub(now); behind > clockWarning && !c.behind {
		c.behind = true
		c.logger.Warn(
			"clock is behind the log; the time of new events stands still until it has caught up",
			"behind", behind)
	}
	return next(c.last)
}

func next(id store.ID) (store.ID, error) {
	id, ok := id.Next()
	if !ok {
		return id, errors.New("the last possible ID is used up")
	}
	return id, nil
}

func (c *committer) put(b *buckets, id store.ID, d *store.Draft) error {
	t := c.topic(d.Topic)
	w := &t.next
	if w.last == t.visible.last {
		c.touched = append(c.touched, t)
	}
	w.unindexed++
	indexed := w.unindexed >= sparseEvery
	start := len(c.buf)
	c.buf = appendRecord(c.buf, id, d, t.id, w.last, indexed)
	value := c.buf[start:len(c.buf):len(c.buf)]
	if err := b.records.Put(id[:], value); err != nil {
		return err
	}
	if indexed {
		w.unindexed = 0
		if err := b.sparse.Put(sparseKey(t.id, id), nil); err != nil {
			return err
		}
	}
	if w.count == 0 {
		w.first = id
	}
	if d.Type == store.TypeEnd {
		w.ended = id
	}
	w.last = id
	w.count++
	w.bytes += uint64(len(id) + len(value))
	return nil
}
