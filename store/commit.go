package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// committer is the one goroutine that writes. It takes what has gathered, assigns IDs, writes one
// transaction, moves the head, wakes the readers and answers, and begins again. All fields are its own.
type committer struct {
	*Bolt
	last    ID // the last ID assigned: the stored head, never the last record, which may be trimmed
	touched []*topic
	created map[string]*topic // topics of this transaction
	keys    *keys
	space   space
	marks   int      // read marks in the file
	dirty   []*topic // changed since their records were written
	since   int      // events since the last checkpoint, those of this transaction included
	stored  int      // events of this transaction
	buf     []byte   // records of the transaction under way; bbolt refers to it until Commit
	behind  bool     // the clock is behind the last ID, and it has been said
	size    int64    // of the file when it was last looked at; it never shrinks
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
		switch err := c.Err(); {
		case err != nil:
			for _, r := range batch {
				r.answer(err)
			}
		case batch[0].op != nil:
			batch[0].answer(batch[0].op())
		default:
			c.append(batch)
		}
		clear(batch)
	}
}

// append commits the groups of all requests in one transaction. A crash before update returns leaves
// either none or all of them, and nobody has been told. A crash after it leaves all of them.
func (c *committer) append(batch []*request) {
	err := c.update(func(tx *bbolt.Tx) error { return c.write(tx, batch) })
	switch err {
	case nil:
		c.counters.batches.observe(float64(c.stored))
		c.space.stored(uint64(len(c.buf) + c.stored*len(ID{})))
		c.publish()
	case errNothing:
		c.undo()
		err = nil
	default:
		c.undo()
	}
	for _, r := range batch {
		if r.err == nil {
			r.err = err
		}
		r.answer(r.err)
	}
}

// topic returns the known or just created topic, else nil. Reading the index needs no lock here:
// nobody else writes it.
func (c *committer) topic(name string) *topic {
	if t := c.index.byName[name]; t != nil {
		return t
	}
	return c.created[name]
}

// errNothing ends a transaction that has nothing to store: each request was refused, or is a replay.
var errNothing = errors.New("nothing to store")

// write puts the batch into the transaction: records, sparse keys, idempotency keys, new topics, the head.
// A request that is refused has its own error set and leaves the others alone.
func (c *committer) write(tx *bbolt.Tx, batch []*request) error {
	id, err := c.mint()
	if err != nil {
		return err
	}
	b := newBuckets(tx)
	c.buf = c.buf[:0]
	c.stored = 0
	full := c.space.room(c.now())
	for _, r := range batch {
		if r.err = c.admit(b, r); r.err == nil && r.stores() {
			r.err = full
		}
		if r.err != nil {
			continue
		}
		for i := range r.groups {
			g := &r.groups[i]
			if g.twin != nil {
				g.result = Result{IDs: g.twin.result.IDs, Replayed: true}
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
		return errNothing
	}
	if err := c.keys.forget(b, c.now()); err != nil {
		return err
	}
	c.since += c.stored
	if c.since >= checkpointEvery {
		if err := c.writeCheckpoint(tx); err != nil {
			return err
		}
	}
	return putMeta(tx, metaHead, c.last[:])
}

// buckets are those that an append writes to.
type buckets struct{ log, sparse, topics, keys *bbolt.Bucket }

func newBuckets(tx *bbolt.Tx) *buckets {
	b := &buckets{tx.Bucket(bucketLog), tx.Bucket(bucketSparse), tx.Bucket(bucketTopics), tx.Bucket(bucketKeys)}
	// Here keys only ever rise, so a split page is never filled up later.
	b.log.FillPercent, b.keys.FillPercent = 1, 1
	return b
}

// putGroup stores a group from *id on, and leaves the next free ID there.
func (c *committer) putGroup(b *buckets, g *group, id *ID) (err error) {
	g.result.IDs = make([]ID, len(g.drafts))
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

// mint returns the next transaction's first ID: the present time and fresh entropy, or one above the
// last ID when that is higher. One rule serves clock steps, restarts and batches.
func (c *committer) mint() (ID, error) {
	now := c.now()
	fresh, err := ulid.New(uint64(max(0, now.UnixMilli())), rand.Reader)
	if err != nil {
		return ID{}, fmt.Errorf("mint an ID: %w", err)
	}
	if c.last.Before(ID(fresh)) {
		c.behind = false
		return ID(fresh), nil
	}
	if behind := c.last.Time().Sub(now); behind > clockWarning && !c.behind {
		c.behind = true
		c.log.Warn("clock is behind the log; the time of new events stands still until it has caught up", "behind", behind)
	}
	return next(c.last)
}

func next(id ID) (ID, error) {
	id, ok := id.Next()
	if !ok {
		return id, errors.New("the last possible ID is used up")
	}
	return id, nil
}

func (c *committer) put(b *buckets, id ID, d *Draft) error {
	t := c.topic(d.Topic)
	w := &t.work
	if w.tip == t.state.tip {
		c.touched = append(c.touched, t)
	}
	w.unindexed++
	indexed := w.unindexed >= sparseEvery
	start := len(c.buf)
	c.buf = appendRecord(c.buf, id, d, t.id, w.tip, indexed)
	value := c.buf[start:len(c.buf):len(c.buf)]
	if err := b.log.Put(id[:], value); err != nil {
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
	if d.Type == TypeEnd {
		w.ended = id
	}
	w.tip = id
	w.count++
	w.bytes += uint64(len(id) + len(value))
	return nil
}

func sparseKey(topic uint32, id ID) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 20), topic), id[:]...)
}

// undo forgets a transaction that was not stored. since may stay too high: the checkpoint is early then.
func (c *committer) undo() {
	for _, t := range c.touched {
		t.work = t.state
	}
	c.last = c.Head()
	c.keys.undo()
	c.reset()
}

// publish shows a durable transaction to the readers: topics first, then the head, then the wake-up.
func (c *committer) publish() {
	slices.SortFunc(c.touched, func(a, b *topic) int { return a.work.tip.Compare(b.work.tip) })
	x := c.index
	x.mu.Lock()
	created := sortedByID(c.created)
	x.byID = append(x.byID, created...)
	for _, t := range created {
		x.add(t)
	}
	for _, t := range c.touched {
		x.show(t)
		x.touch(t, t.work.tip)
	}
	x.keys, x.oldestKey = c.keys.publish()
	x.mu.Unlock()
	for _, t := range c.touched {
		if !t.dirty {
			t.dirty = true
			c.dirty = append(c.dirty, t)
		}
	}
	if c.since >= checkpointEvery { // written by this very transaction
		c.clean()
	}
	head := c.last
	c.head.Store(&head)
	c.moved.wake()
	c.reset()
}

func (c *committer) reset() {
	clear(c.created)
	c.touched = c.touched[:0]
	if cap(c.buf) > commitBytes {
		c.buf = nil
	}
}

// update runs fn in a read-write transaction and makes it durable. The error is ErrNoSpace when it is
// certain that nothing was stored; every other one fails the log, because bbolt can return an error
// for a transaction that is in the file.
func (c *committer) update(fn func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, c.fail(fmt.Errorf("writing %s: %v; run tidings verify, then restore a backup", c.path, p)))
			c.wedged.Store(true)
		}
	}()
	if err := c.checkFile(); err != nil {
		return c.fail(err)
	}
	var before int
	began := time.Now()
	err = c.db.Update(func(tx *bbolt.Tx) error {
		before = tx.ID() - 1
		return fn(tx)
	})
	switch {
	case err == nil:
		c.counters.commits.observe(time.Since(began).Seconds())
		return nil
	case errors.Is(err, errNothing):
		return err
	case isFull(err) && c.visibleTx() == before:
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	default:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, c.fail(fmt.Errorf("commit: %w", err)))
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, berrors.ErrMaxSizeReached)
}

// visibleTx is the number of the newest transaction a reader would see, -1 if that cannot be told.
func (c *committer) visibleTx() int {
	tx, err := c.db.Begin(false)
	if err != nil {
		return -1
	}
	id := tx.ID()
	if tx.Rollback() != nil {
		return -1
	}
	return id
}

// checkFile makes sure that the path still leads to the file that is open: a lock follows the file, not
// its name, and writing to a file that was replaced would succeed and be lost. Writing to one that was
// cut short would end the process: bbolt then looks for its free pages in a goroutine of its own.
func (c *committer) checkFile() error {
	open, err := c.file.Stat()
	if err != nil {
		return fmt.Errorf("stat the open log file: %w", err)
	}
	named, err := os.Stat(c.path)
	if err != nil {
		return fmt.Errorf("%s was removed while in use: %w", c.path, err)
	}
	if !os.SameFile(open, named) {
		return fmt.Errorf("%s was replaced while in use; the events since then would be lost", c.path)
	}
	if open.Size() < c.size {
		return fmt.Errorf("%s was cut short while in use, from %d bytes to %d", c.path, c.size, open.Size())
	}
	c.size = open.Size()
	return nil
}

func sortedByID(created map[string]*topic) []*topic {
	topics := make([]*topic, 0, len(created))
	for _, t := range created {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b *topic) int { return int(a.id) - int(b.id) })
	return topics
}
