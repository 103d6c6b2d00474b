package store

import "slices"

// undo forgets a transaction that was not stored.
func (c *committer) undo() {
	for _, t := range c.touched {
		t.work = t.state
	}
	for t := range c.trimming {
		t.work = t.state
	}
	c.last = c.Head()
	c.keys.undo()
	c.reset()
}

// publish shows a durable transaction to the readers: topics first, then the head, then the wake-up.
func (c *committer) publish() {
	c.count()
	slices.SortFunc(c.touched, func(a, b *topic) int { return a.work.tip.Compare(b.work.tip) })
	x := c.index
	x.mu.Lock()
	if c.deleted > 0 {
		x.trimmed(c.trimming)
	}
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
	if c.stored > 0 {
		c.advance()
	}
	c.reset()
}

// count adds the transaction to the statistics, and to the books of the space.
func (c *committer) count() {
	if c.deleted > 0 {
		c.counters.trimmed.Add(uint64(c.deleted))
		highest := c.highest
		c.Bolt.trimmed.Store(&highest)
		c.space.trimmed(c.freed)
	}
	if c.stored > 0 {
		c.counters.batches.observe(float64(c.stored))
		c.space.stored(uint64(len(c.buf) + c.stored*len(ID{})))
	}
}

// advance moves the head, after the index has all up to it.
func (c *committer) advance() {
	for _, t := range c.touched {
		if !t.dirty {
			t.dirty = true
			c.dirty = append(c.dirty, t)
		}
	}
	if c.since += c.stored; c.since >= checkpointEvery { // written by this very transaction
		c.clean()
	}
	c.full, c.reserved = false, true // every transaction that stores writes the reserve
	head := c.last
	c.head.Store(&head)
	c.moved.wake()
}

func (c *committer) reset() {
	clear(c.created)
	c.touched, c.trimming = c.touched[:0], nil
	c.stored, c.deleted, c.freed = 0, 0, 0
	c.buf = c.buf[:0]
	if cap(c.buf) > commitBytes {
		c.buf = nil
	}
}

func sortedByID(created map[string]*topic) []*topic {
	topics := make([]*topic, 0, len(created))
	for _, t := range created {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b *topic) int { return int(a.id) - int(b.id) })
	return topics
}
