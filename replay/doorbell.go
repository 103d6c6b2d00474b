package replay

import (
	"slices"

	"tidings/store"
)

// doorbell is a place at a feed: it rings when something that the feed's filter matches has been
// committed. Only close may be called beside its owner, after that one has stopped.
type doorbell struct {
	tail  *Tail
	feed  *feed
	ready chan struct{}
	call  func() // instead of ready; nil: ready
}

// register takes a place at the feed of the filter and the format, which is nil for events that
// nobody wants as frames. call is rung in place of ready, unless it is nil.
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
		f = &feed{key: key, filter: filter, doorbells: make(map[*doorbell]struct{}),
			from: *t.through.Load()}
		t.feeds[key] = f
		t.matches.add(f)
	}
	f.doorbells[d] = struct{}{}
	d.feed = f
}

// Close gives the place up. It is idempotent.
func (d *doorbell) Close() {
	t, f := d.tail, d.feed
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := f.doorbells[d]; !ok {
		return
	}
	delete(f.doorbells, d)
	if len(f.doorbells) > 0 {
		return
	}
	delete(t.feeds, f.key)
	t.matches.remove(f)
	t.drop(f.reset(store.MaxID))
	for _, s := range slices.Clone(f.past.stretches) {
		t.dropPast(s)
	}
}

// Ready receives after something that matches was committed. It is a hint: there may be nothing. It
// is nil where a function is called instead.
func (d *doorbell) Ready() <-chan struct{} { return d.ready }

// Filter is what it rings for.
func (d *doorbell) Filter() store.Filter { return d.feed.filter }

// ring is called by the tailer alone, and does not wait.
func (d *doorbell) ring() {
	if d.call != nil {
		d.call()
		return
	}
	select {
	case d.ready <- struct{}{}:
	default: // nobody has looked since the last time
	}
}

// open registers, and only then looks where to start: nothing falls in between. After an error
// there is nothing to close.
func (d *doorbell) open(t *Tail, filter store.Filter, format *Format, start Start,
	call func()) (*cursor, error) {
	d.register(t, filter, format, call)
	c, err := newCursor(t.log, d.feed.filter, start)
	if err != nil {
		d.Close()
	}
	return c, err
}
