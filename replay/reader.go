package replay

import "tidings/store"

// Reader reads pages of events from a Start on, with the gaps between them, for a client without a
// stream. It reads only the log, and is woken like a Subscription. It belongs to one goroutine; only
// Close may come from another once that one has stopped.
type Reader struct {
	doorbell
	cursor cursor
}

// Page is what a Reader read: first the gap, if there is one, then the events.
type Page struct {
	Gap    *Gap
	Events []store.Event // owned by the caller
	// Through is how far the reader has looked; the next page follows it. Without gap and events there is
	// more to look at if it is below the log's head.
	Through store.ID
}

// NewReader returns a Reader that is registered for wake-ups before it reads. The error is the
// log's. Close it.
func (t *Tail) NewReader(filter store.Filter, start Start) (*Reader, error) {
	return t.NewReaderFunc(filter, start, nil)
}

// NewReaderFunc is to NewReader what SubscribeFunc is to Subscribe.
func (t *Tail) NewReaderFunc(filter store.Filter, start Start, ring func()) (*Reader, error) {
	r := &Reader{}
	if err := r.open(t, filter, nil, start, ring, &r.cursor); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenID returns the client's cursor while it has no event: an ID that was in the log, or zero for its
// start.
func (r *Reader) OpenID() store.ID { return r.cursor.open }

// Next returns the next page without waiting for events: at most max of them, and store.MaxPageBytes
// unless the first alone is larger. The error is the log's.
func (r *Reader) Next(max int) (Page, error) {
	r.arm() // if it calls; what the page does not have rings again
	r.tail.logReads.Add(1)
	return r.cursor.next(max)
}
