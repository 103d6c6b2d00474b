package replay

import (
	"tidings/store"
)

// Cursor is a position in the log and a filter: it reads on from the position, and says what is
// missing. It belongs to one goroutine.
type Cursor struct {
	log    store.Log
	filter store.Filter
	reader store.Reader
	pos    store.ID
	asked  string   // the cursor as given, to be named in gaps until the position moves
	told   store.ID // losses by trimming up to here have been told, or were not asked for
	gap    *Gap     // to be returned first by the next Next

	open    store.ID
	resumed bool
}

// Step is what a Cursor read: first the gap, if there is one, then the events.
type Step struct {
	Gap    *Gap
	Events []store.Event
	// Through is how far the cursor has looked; the next step reads on from here.
	Through store.ID
}

// NewCursor resolves start against the log. The error is the log's.
func NewCursor(log store.Log, filter store.Filter, start Start) (*Cursor, error) {
	c := &Cursor{log: log, filter: filter}
	err := c.resolve(start)
	if err != nil {
		return nil, err
	}
	c.reader = log.NewReader(filter, c.pos)
	return c, nil
}

// Open is the ID to tell the client as its first cursor, so that it loses nothing when it is cut
// off before the first event: an ID that was in the log, or zero for the start of it.
func (c *Cursor) OpenID() store.ID { return c.open }

// Resumed reports whether the cursor that the client brought is the position that reading began at.
func (c *Cursor) Resumed() bool { return c.resumed }

// Position is the ID up to which everything that matches has been returned by Next, or was missing.
func (c *Cursor) Position() store.ID { return c.pos }

func (c *Cursor) resolve(start Start) (err error) {
	head := c.log.Head()
	switch start.kind {
	case earliest:
		return nil
	case after:
		return c.resolveCursor(start.cursor)
	case since:
		c.pos = store.FirstIDAt(start.since).Prev()
	case last:
		// What was trimmed is not among the newest n: it was not asked for.
		c.told = c.log.Trimmed()
		if c.pos, err = c.log.Newest(c.filter, store.MaxID, start.last); err != nil {
			return err
		}
		if start.last == 0 {
			c.pos = head
		}
	default:
		c.pos = head
	}
	if !c.pos.Before(head) {
		c.pos, c.open = head, head
		return nil
	}
	c.asked = c.pos.String()
	c.open, err = c.wasInLog(c.pos)
	return err
}

// wasInLog returns the newest ID at or below id that is, or is known to have been, an event of the
// log; zero if there is none. Between the two lies no retained event.
func (c *Cursor) wasInLog(id store.ID) (store.ID, error) {
	floor, err := c.log.Floor(id)
	if err != nil {
		return store.ID{}, err
	}
	if trimmed := c.log.Trimmed(); floor.Before(trimmed) && !id.Before(trimmed) {
		return trimmed, nil
	}
	return floor, nil
}

// resolveCursor decides what a client's cursor is worth. Whatever it is, reading goes on somewhere.
func (c *Cursor) resolveCursor(text string) error {
	head := c.log.Head()
	id, err := store.ParseID(text)
	if err != nil {
		c.pos, c.open = head, head
		c.gap, err = newGap(c.log, Malformed, text, head)
		return err
	}
	text = id.String()
	if head.Before(id) {
		c.pos, c.open = head, head
		c.gap, err = newGap(c.log, Ahead, text, head)
		return err
	}
	c.pos, c.open, c.asked, c.resumed = id, id, text, true
	floor, err := c.wasInLog(id)
	if err != nil || floor == id || !c.log.Trimmed().Before(id) {
		return err // an event, or below the highest trimmed ID, where a position needs none
	}
	c.pos, c.open = floor, floor
	c.gap, err = newGap(c.log, Unknown, text, floor)
	return err
}

// seek moves the position forward to id, up to which the caller has seen everything elsewhere.
func (c *Cursor) seek(id store.ID) {
	if c.pos.Before(id) {
		c.pos, c.reader = id, nil
	}
}

// Next reads on: at most max events. A step without gap and events whose Through is the log's head
// means that the cursor has caught up; one whose Through is below it, that there is more to look
// at.
func (c *Cursor) Next(max int) (Step, error) {
	if c.gap != nil {
		step := Step{Gap: c.gap, Through: c.pos}
		c.gap = nil
		return step, nil
	}
	if c.reader == nil {
		c.reader = c.log.NewReader(c.filter, c.pos)
	}
	page, err := c.reader.Next(max)
	if err != nil {
		return Step{}, err
	}
	step := Step{Events: page.Events, Through: page.Through}
	if c.pos.IsZero() {
		c.told = later(c.told, page.Trimmed) // the start of the log is wherever it is now
	}
	if c.told.Before(page.Trimmed) {
		if step.Gap, err = newGap(c.log, Expired, c.requested(), page.Trimmed); err != nil {
			return Step{}, err
		}
		c.told = page.Trimmed
	}
	if !page.Corrupt.IsZero() {
		before := c.requested()
		if n := len(page.Events); n > 0 {
			before = page.Events[n-1].ID.String()
		}
		if c.gap, err = newGap(c.log, Corrupt, before, page.Corrupt); err != nil {
			return Step{}, err
		}
		if step.Gap == nil && len(step.Events) == 0 {
			step.Gap, c.gap = c.gap, nil
		}
	}
	if c.pos != page.Through {
		c.pos, c.asked = page.Through, ""
	}
	return step, nil
}

// requested is the cursor as the client would name it.
func (c *Cursor) requested() string {
	if c.asked != "" {
		return c.asked
	}
	return c.pos.String()
}

func later(a, b store.ID) store.ID {
	if a.Before(b) {
		return b
	}
	return a
}
