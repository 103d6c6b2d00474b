package replay

import (
	"math"
	"tidings/store"
)

// cursor is a position in the log and a filter: it reads on from the position, and says what is
// missing. It belongs to one goroutine.
type cursor struct {
	log    Source
	filter store.Filter
	reader store.Reader
	pos    store.ID
	asked  string   // the cursor as given, to be named in gaps until the position moves
	told   store.ID // losses by trimming up to here have been told, or were not asked for
	gap    *Gap     // to be returned first by next

	// open is the ID to tell the client as its first cursor, so that it loses nothing when it is
	// cut off before the first event: an ID that was in the log, or zero for the start of it.
	open    store.ID
	resumed bool // the cursor that the client brought is the position that reading began at
}

// newCursor resolves start against the log. The error is the log's.
func newCursor(log Source, filter store.Filter, start Start) (*cursor, error) {
	c := &cursor{log: log, filter: filter}
	err := c.resolve(start)
	if err != nil {
		return nil, err
	}
	c.reader = log.NewReader(filter, c.pos)
	return c, nil
}

func (c *cursor) resolve(start Start) (err error) {
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
		c.pos, err = c.log.Newest(c.filter, store.MaxID, start.last, math.MaxInt)
		if err != nil {
			return err
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
func (c *cursor) wasInLog(id store.ID) (store.ID, error) {
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
func (c *cursor) resolveCursor(text string) error {
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
func (c *cursor) seek(id store.ID) {
	if c.pos.Before(id) {
		c.pos, c.reader = id, nil
	}
}

// next reads on: at most max events. A page without gap and events whose Through is the log's head
// means that the cursor has caught up; one whose Through is below it, that there is more to look
// at.
func (c *cursor) next(max int) (Page, error) {
	if c.gap != nil {
		found := Page{Gap: c.gap, Through: c.pos}
		c.gap = nil
		return found, nil
	}
	if c.reader == nil {
		c.reader = c.log.NewReader(c.filter, c.pos)
	}
	page, err := c.reader.Next(max)
	if err != nil {
		return Page{}, err
	}
	found := Page{Events: page.Events, Through: page.Through}
	if c.pos.IsZero() {
		c.told = later(c.told, page.Trimmed) // the start of the log is wherever it is now
	}
	if c.told.Before(page.Trimmed) {
		if found.Gap, err = newGap(c.log, Expired, c.requested(), page.Trimmed); err != nil {
			return Page{}, err
		}
		c.told = page.Trimmed
	}
	if !page.Corrupt.IsZero() {
		before := c.requested()
		if n := len(page.Events); n > 0 {
			before = page.Events[n-1].ID.String()
		}
		if c.gap, err = newGap(c.log, Corrupt, before, page.Corrupt); err != nil {
			return Page{}, err
		}
		if found.Gap == nil && len(found.Events) == 0 {
			found.Gap, c.gap = c.gap, nil
		}
	}
	if c.pos != page.Through {
		c.pos, c.asked = page.Through, ""
	}
	return found, nil
}

// requested is the cursor as the client would name it.
func (c *cursor) requested() string {
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
