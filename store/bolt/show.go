package bolt

import (
	"slices"
	"sync/atomic"

	"tidings/store"
)

// horizon is what readers see of the log. The committer shows a commit after it is durable: the newest
// trimmed ID and the topics first, then the head, then the wake-up. A reader loads the head first, and so
// finds everything that the index must have up to it.
type horizon struct {
	index   *index
	head    atomic.Pointer[store.ID]
	trimmed atomic.Pointer[store.ID]
	moved   broadcast // woken on every move of the head
}

// Head implements store.Log.
func (h *horizon) Head() store.ID { return *h.head.Load() }

// Trimmed implements store.Log.
func (h *horizon) Trimmed() store.ID { return *h.trimmed.Load() }

// show shows a durable commit to the readers, and records it in the committer's books.
func (c *committer) show(ch *change) {
	if len(ch.trimming) > 0 {
		highest := ch.highest // ch is reused
		c.horizon.trimmed.Store(&highest)
	}
	if ch.Epoch != (store.Epoch{}) {
		c.epoch, c.epochKept = ch.Epoch, true
	}
	c.keys.show(ch)
	for owner, n := range ch.marks {
		c.marks += n
		c.shares.AddMarks(owner, n)
	}
	for _, t := range ch.Topics {
		c.shares.AddTopics(t.Owner, 1)
	}
	for owner, n := range ch.bare {
		c.bare += n
		c.shares.AddBare(owner, n)
	}
	if ch.Secret != nil && c.mirror != nil {
		*c.mirror.secret = *ch.Secret // only during an open
	}
	c.count(ch)
	c.books.close(ch)
	c.horizon.index.showAll(ch, kept{c.keys.held, c.keys.oldest, c.marks, c.bare})
	if ch.State != nil && c.mirror != nil {
		c.mirror.states.note(ch.State)
	}
	if ch.Stores() {
		c.full, c.reserved, c.extent = false, true, max(c.extent, ch.extent) // every commit that stores has a reserve
		head := ch.Last
		c.horizon.head.Store(&head)
		c.horizon.moved.wake()
	}
	if ch.at != nil {
		c.mirror.reached(*ch.at)
	}
}

// count adds the commit to the statistics and to space's books.
func (c *committer) count(ch *change) {
	if ch.deleted > 0 {
		c.file.counters.trimmed.Add(uint64(ch.deleted))
		c.space.trimmed(ch.freed)
	}
	if stored := len(ch.Events); stored > 0 {
		c.file.counters.batches.observe(float64(stored))
		c.space.stored(uint64(len(ch.buf) + stored*len(store.ID{})))
	}
}

// drop discards a commit that was not stored.
func (c *committer) drop(ch *change) {
	if ch.announced {
		c.horizon.index.announce(nil)
	}
	for _, t := range ch.changed {
		t.next, t.changing = t.visible, false
	}
}

// showAll makes the next states of a commit's topics visible. Siblings are kept in the order of their newest
// events, so the topics are shown in that order.
func (x *index) showAll(ch *change, now kept) {
	slices.SortFunc(ch.changed, func(a, b *topic) int { return a.next.last.Compare(b.next.last) })
	x.mu.Lock()
	defer x.mu.Unlock()
	if ch.announced {
		x.nextTrim(nil)
	}
	x.byID = append(x.byID, ch.created...)
	for _, t := range ch.created {
		x.add(t)
	}
	for _, t := range ch.changed {
		appended := t.visible.last != t.next.last
		x.show(t)
		if appended {
			x.touch(t, t.next.last)
		}
		t.changing = false
	}
	x.kept = now
}

// announce shows readers which marks the transaction about to commit sets; nil withdraws them.
func (x *index) announce(marks map[*topic]store.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.nextTrim(marks)
}

// nextTrim links a step. The caller holds mu.
func (x *index) nextTrim(marks map[*topic]store.ID) {
	x.trim.next = &trimming{marks: marks}
	x.trim = x.trim.next
}
