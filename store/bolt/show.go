package bolt

import (
	"iter"
	"maps"
	"slices"

	"tidings/store"
)

// undo forgets a transaction that was not stored.
func (c *committer) undo() {
	for _, t := range c.touched {
		t.next = t.visible
	}
	for t := range c.trimming {
		t.next = t.visible
	}
	c.last = c.Head()
	c.keys.undo()
	c.reset()
}

// publish shows a durable transaction to the readers: topics first, then the head, then the
// wake-up.
func (c *committer) publish() {
	c.count()
	slices.SortFunc(c.touched, func(a, b *topic) int { return a.next.last.Compare(b.next.last) })
	x := c.index
	x.mu.Lock()
	if c.deleted > 0 {
		x.trimmed(c.trimming)
	}
	created := sortedByID(maps.Values(c.created))
	x.byID = append(x.byID, created...)
	for _, t := range created {
		x.add(t)
	}
	for _, t := range c.touched {
		x.show(t)
		x.touch(t, t.next.last)
	}
	x.keys, x.oldestKey = c.keys.publish()
	x.mu.Unlock()
	c.settle()
	if c.stored > 0 {
		c.advance()
	}
	c.reset()
}

// settle keeps the books of what the next checkpoint has to write.
func (c *committer) settle() {
	for _, t := range c.touched {
		c.markDirty(t)
	}
	for t := range c.trimming {
		c.markDirty(t)
	}
	c.since += c.stored
	c.journaled += c.journaling
	if c.checkpointed {
		c.clean()
	}
}

func (c *committer) markDirty(t *topic) {
	if !t.dirty {
		t.dirty = true
		c.dirty = append(c.dirty, t)
	}
}

// count adds the transaction to the statistics and to space's books.
func (c *committer) count() {
	if c.deleted > 0 {
		c.counters.trimmed.Add(uint64(c.deleted))
		highest := c.highest
		c.Log.trimmed.Store(&highest)
		c.space.trimmed(c.freed)
	}
	if c.stored > 0 {
		c.counters.batches.observe(float64(c.stored))
		c.space.stored(uint64(len(c.buf) + c.stored*len(store.ID{})))
	}
}

// advance moves the head, after the index has all up to it.
func (c *committer) advance() {
	c.full, c.reserved = false, true // every transaction that stores writes the reserve
	head := c.last
	c.head.Store(&head)
	c.moved.wake()
}

func (c *committer) reset() {
	clear(c.created)
	c.touched, c.trimming = c.touched[:0], nil
	c.stored, c.deleted, c.freed, c.journaling, c.checkpointed = 0, 0, 0, 0, false
	c.buf = c.buf[:0]
	if cap(c.buf) > commitBytes {
		c.buf = nil
	}
}

func sortedByID(topics iter.Seq[*topic]) []*topic {
	return slices.SortedFunc(topics, func(a, b *topic) int { return int(a.id) - int(b.id) })
}
