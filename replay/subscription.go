package replay

import (
	"slices"

	"tidings/store"
)

// maxWrite is the most bytes that a subscription hands out at once, unless a single frame is larger.
const maxWrite = 64 << 10

// readEvents is the most events that a subscription reads from the log at once.
const readEvents = 256

// Subscription is one stream: a cursor, and a doorbell at the feed whose frames it hands out. It belongs
// to one goroutine; only Close may come from another once that one has stopped. It has no queue: a slow
// subscription is only a position further back.
type Subscription struct {
	doorbell
	cursor cursor
	begun  store.ID // the head when it began: up to here it does not rely on the tail's progress

	page   Page   // read from the log and not yet handed out
	buf    []byte // frames made from it
	shared [][]byte
	one    [1][]byte              // the first room of shared
	room   func(bytes int64) bool // see Bound; nil: unlimited
}

// Chunk is what comes next on a stream: a gap to report first, then frames. With neither, More says that
// there is more of the log to look through: call Next again. Without More the subscription has caught up,
// at least with what was committed before Subscribe was called: wait for Ready.
type Chunk struct {
	Gap    *Gap
	Frames [][]byte // shared: do not change them; valid until the next call of Next
	Events int      // number of events in Frames
	Shared bool     // Frames are kept for others, too: after Rewind they need not be read anew
	More   bool

	// NoRoom says that there is no memory for what comes next (see Bound); the rest is empty, and the
	// subscription can no longer be used.
	NoRoom bool
}

// CaughtUp reports whether the chunk is empty and there is nothing more to look for.
func (c *Chunk) CaughtUp() bool {
	return c.Gap == nil && len(c.Frames) == 0 && !c.More && !c.NoRoom
}

// Subscribe begins a subscription. It is registered for wake-ups before it reads, so that nothing
// is lost in between. The error is the log's. Close it.
func (t *Tail) Subscribe(filter store.Filter, format *Format, start Start) (*Subscription, error) {
	return t.SubscribeFunc(filter, format, start, nil)
}

// SubscribeFunc is Subscribe for a caller that does not wait for Ready: the tail's goroutine calls ring
// instead, which must not wait, and not again until the subscription has caught up. It may be called before
// SubscribeFunc has returned, and once more after Close.
func (t *Tail) SubscribeFunc(filter store.Filter, format *Format, start Start,
	ring func()) (*Subscription, error) {
	s := &Subscription{begun: t.log.Head()}
	if err := s.open(t, filter, format, start, ring, &s.cursor); err != nil {
		return nil, err
	}
	s.shared = s.one[:0]
	return s, nil
}

// OpenID returns the client's first cursor, so that it loses nothing if it is cut off before the first
// event: an ID that was in the log, or zero for its start.
func (s *Subscription) OpenID() store.ID { return s.cursor.open }

// Resumed reports whether the stream continues after the cursor that the client brought.
func (s *Subscription) Resumed() bool { return s.cursor.resumed }

// Position returns how far the subscription has read. Once Next returned neither gap nor frames, every
// matching event up to it has been handed out or reported as a gap; before that it may be a page of the
// log ahead of what has been handed out.
func (s *Subscription) Position() store.ID { return s.cursor.pos }

// Bound makes the subscription ask before it holds memory of its own, for events it read from the log
// and the frames made of them: room is called with the total that it is about to hold, also when that is
// less than before, which it must allow. What it takes from the in-memory tail it shares with others. Call
// Bound before the first Next.
func (s *Subscription) Bound(room func(bytes int64) bool) { s.room = room }

func (s *Subscription) hold(bytes int) bool { return s.room == nil || s.room(int64(bytes)) }

// Rewind moves the position back to an event of the last Chunk, whose later frames were not delivered:
// the next Chunk follows that event. It gives back the memory of what was read.
func (s *Subscription) Rewind(id store.ID) {
	s.page, s.buf = Page{}, nil
	s.hold(0)
	s.cursor.pos, s.cursor.gap, s.cursor.reader = id, nil, nil
}

// Release gives back what the last Chunk shares with others: its frames are no longer valid. Without it they
// count until the next Chunk.
func (s *Subscription) Release() {
	if s.buf == nil && len(s.page.Events) == 0 {
		clear(s.shared)
		s.hold(0)
	}
}

// TryNext is Next without reading the log, so it does not wait for the disk. It reports false if only
// the log can tell what comes next.
func (s *Subscription) TryNext() (Chunk, bool) {
	if len(s.page.Events) > 0 {
		return s.encode(), true
	}
	if chunk, ok := s.fromTail(); ok {
		return chunk, true
	}
	return s.fromPast()
}

// Next returns what comes next, without waiting for events. It reads at most one page of the log, and
// none if TryNext suffices. The error is the log's.
func (s *Subscription) Next() (Chunk, error) {
	if chunk, ok := s.TryNext(); ok {
		return chunk, nil
	}
	if chunk, ok := s.joinPast(); ok {
		return chunk, nil
	}
	s.tail.logReads.Add(1)
	page, err := s.cursor.next(readEvents)
	if err != nil {
		return Chunk{}, err
	}
	s.page = page
	if len(page.Events) == 0 {
		return Chunk{Gap: page.Gap, More: page.Gap != nil || s.behind(page.Through)}, nil
	}
	chunk := s.encode()
	if !chunk.NoRoom {
		chunk.Gap = page.Gap
	}
	return chunk, nil
}

// behind reports whether there is more of the log than what follows from reading up to through. If not, the
// subscription will be woken.
func (s *Subscription) behind(through store.ID) bool {
	s.arm()
	return through.Before(s.tail.log.Head())
}

// fromTail answers from memory if memory is as good as the log: the feed reaches back to the position,
// nothing above it has been trimmed, and what existed when the subscription began is in it.
func (s *Subscription) fromTail() (Chunk, bool) {
	c := &s.cursor
	through := *s.tail.through.Load() // before the feed: the feed then has everything up to it
	if c.gap != nil || c.pos.Before(s.tail.log.Trimmed()) || through.Before(s.begun) {
		return Chunk{}, false
	}
	clear(s.shared)
	frames, n, last, ok := s.feed.after(c.pos, s.shared[:0], &s.doorbell)
	s.shared = frames
	if !ok {
		return Chunk{}, false
	}
	s.tail.tailReads.Add(1)
	s.page, s.buf, c.reader = Page{}, nil, nil // an idle subscription keeps no buffers
	s.hold(0)
	if len(frames) == 0 {
		last = through
	}
	c.seek(last)
	return Chunk{Frames: frames, Events: n, Shared: true}, true
}

// encode makes frames of the events that were read, up to one write.
func (s *Subscription) encode() Chunk {
	format, size, rest, n := s.feed.key.format, 0, 0, 0
	for i := range s.page.Events {
		if e := &s.page.Events[i]; n == 0 || size < maxWrite {
			size += format.size(e)
			n++
		} else {
			rest += e.Size()
		}
	}
	if cap(s.buf) > 4*maxWrite {
		s.buf = nil // of a large frame
	}
	if !s.hold(max(size, cap(s.buf)) + rest) {
		return Chunk{NoRoom: true}
	}
	s.buf = slices.Grow(s.buf[:0], size) // once, instead of by doubling
	for i := range n {
		s.buf = format.AppendFrame(s.buf, &s.page.Events[i])
		s.page.Events[i] = store.Event{}
	}
	if s.page.Events = s.page.Events[n:]; len(s.page.Events) == 0 {
		s.cursor.release()
	}
	s.shared = append(s.shared[:0], s.buf)
	return Chunk{Frames: s.shared, Events: n}
}
