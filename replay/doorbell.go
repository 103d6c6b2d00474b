package replay

import (
	"slices"

	"tidings/store"
)

// doorbell is a registration with a feed: while armed, it rings when an event that the feed's filter matches
// has been committed. A call disarms it until its owner has caught up: a commit costs nothing for streams that
// are stuck or behind. It belongs to one goroutine; only Close may come from another once that one has stopped.
type doorbell struct {
	tail   *Tail
	feed   *feed
	ready  chan struct{}
	call   func() // instead of ready; nil: ready
	place  int    // in feed.armed, plus 1; 0: it is not. Guarded by feed.mu
	closed bool   // guarded by Tail.mu
}

// register registers with the feed of the filter and the format; a nil format means that no frames are
// wanted. call, unless nil, is called instead of sending to ready.
func (d *doorbell) register(t *Tail, filter store.Filter, format *Format, call func()) {
	d.tail, d.call = t, call
	if call == nil {
		d.ready = make(chan struct{}, 1)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := feedKey{filter.String(), format}
	f := t.feeds[key]
	if f == nil {
		f = &feed{key: key, filter: filter, from: *t.through.Load()}
		t.feeds[key] = f
		t.matches.add(f)
	}
	f.readers++
	d.feed = f
	d.arm()
}

// Close ends the registration. It is idempotent.
func (d *doorbell) Close() {
	t, f := d.tail, d.feed
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	f.disarm(d)
	if f.readers--; f.readers > 0 {
		return
	}
	delete(t.feeds, f.key)
	t.matches.remove(f)
	t.drop(f.reset(store.MaxID))
	for _, s := range slices.Clone(f.past.stretches) {
		t.dropPast(s)
	}
}

// arm has it ring at the next matching event that the feed is given. What was committed before may have been
// given: look for it afterwards.
func (d *doorbell) arm() {
	d.feed.mu.Lock()
	defer d.feed.mu.Unlock()
	d.feed.arm(d)
}

// Ready receives after a matching event was committed. It is a hint: there may be nothing. It is nil if
// a function is called instead.
func (d *doorbell) Ready() <-chan struct{} { return d.ready }

// Filter returns the filter of the events it rings for.
func (d *doorbell) Filter() store.Filter { return d.feed.filter }

// ring does not wait. Only the tailer calls it.
func (d *doorbell) ring() {
	if d.call != nil {
		d.call()
		return
	}
	select {
	case d.ready <- struct{}{}:
	default: // the last ring has not been received yet
	}
}

// open registers, and only then looks where to start, so that nothing is lost in between. After an error
// there is nothing to close.
func (d *doorbell) open(t *Tail, filter store.Filter, format *Format, start Start, call func(),
	c *cursor) error {
	d.register(t, filter, format, call)
	err := c.begin(t.log, d.feed.filter, start)
	if err != nil {
		d.Close()
	}
	return err
}
