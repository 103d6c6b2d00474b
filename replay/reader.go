package replay

import "tidings/store"

// Reader reads pages of events from a Start on, with the gaps between them, for a client that holds
// no stream. It reads the log alone, and is woken like a Subscription. It belongs to one goroutine;
// only Close may come from another after that one has stopped.
type Reader struct {
	doorbell
	cursor *cursor
}

// Page is what a Reader read: first the gap, if there is one, then the events.
type Page struct {
	Gap    *Gap
	Events []store.Event // the caller's
	// Through is how far the reader has looked; the next page follows it. Without gap and events it
	// tells whether there is more to look at: when it is below the log's head.
	Through store.ID
}

// NewReader returns a Reader that is registered for wake-ups before it reads. The error is the
// log's. Close it.
func (t *Tail) NewReader(filter store.Filter, start Start) (*Reader, error) {
	r := &Reader{}
	var err error
	if r.cursor, err = r.open(t, filter, nil, start, nil); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenID is the ID to give the client as its cursor while it has no event: one that was in the log,
// or zero for the start of it.
func (r *Reader) OpenID() store.ID { return r.cursor.open }

// Next reads on, without waiting for more: at most max events, and store.MaxPageBytes unless the
// first alone is larger. The error is the log's.
func (r *Reader) Next(max int) (Page, error) {
	r.tail.logReads.Add(1)
	return r.cursor.next(max)
}
