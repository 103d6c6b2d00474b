package replay

import (
	"math"
	"tidings/store"
)

// cursor is a position in the log and a filter: it reads from the position and reports what is missing.
// It belongs to one goroutine.
type cursor struct {
	pos    store.ID
	gap    *Gap // next returns it first
	reader store.Reader
	asked  string // the cursor as given, named in gaps until the position moves

	// unasked is for a start that asks for what exists: the head when reading began, zero once the position
	// has moved. Events trimmed up to it were not asked for.
	unasked store.ID

	// open is the ID that the client gets as its first cursor, so that it loses nothing if it is cut off
	// before the first event: an ID that was in the log, or zero for its start.
	open    store.ID
	resumed bool // reading began at the cursor that the client brought

	told   store.ID // losses by trimming up to here have been reported, or were not asked for
	log    Source
	filter store.Filter
}

// begin resolves start against the log. The error is the log's.
func (c *cursor) begin(log Source, filter store.Filter, start Start) error {
	c.log, c.filter = log, filter
	if err := c.resolve(start); err != nil {
		return err
	}
	c.reader = log.NewReader(filter, c.pos)
	return nil
}

func (c *cursor) resolve(start Start) (err error) {
	head := c.log.Head()
	switch start.kind {
	case earliest:
		c.unasked = head
		return nil
	case after:
		return c.resolveCursor(start.cursor)
	case since:
		c.pos = store.FirstIDAt(start.since).Prev()
	case last:
		c.unasked = head
		c.pos, err = c.log.Newest(c.filter, store.MaxID, start.last, math.MaxInt)
		if err != nil {
			return err
		}
	default:
		c.pos = head
	}
	if !c.pos.Before(head) {
		c.pos, c.open, c.unasked = head, head, store.ID{}
		return nil
	}
	c.asked = c.pos.String()
	c.open, _, err = c.log.Resolve(c.pos)
	return err
}

// resolveCursor judges a client's cursor. Whatever it is, reading continues somewhere.
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
	c.asked = text
	nearest, known, err := c.log.Resolve(id)
	if err != nil || known {
		c.pos, c.open, c.resumed = id, id, true
		if id.IsZero() {
			c.unasked = head // the log starts wherever it does now
		}
		return err
	}
	c.pos, c.open = nearest, nearest
	c.gap, err = newGap(c.log, Unknown, text, nearest)
	return err
}

// seek moves the position forward to id; the caller has seen everything up to it elsewhere.
func (c *cursor) seek(id store.ID) {
	if c.pos.Before(id) {
		c.moveTo(id)
		c.reader = nil
	}
}

func (c *cursor) moveTo(id store.ID) {
	if c.pos != id {
		c.pos, c.asked, c.unasked = id, "", store.ID{}
	}
}

// next reads at most max further events. A page without gap and events means that the cursor has caught
// up if its Through is the log's head, and that there is more to look at if it is below.
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
	if !c.unasked.Before(page.Trimmed) {
		c.told = store.Later(c.told, page.Trimmed)
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
	c.moveTo(page.Through)
	return found, nil
}

// release gives back the memory of the events that next returned.
func (c *cursor) release() {
	if c.reader != nil {
		c.reader.Release()
	}
}

// requested returns the cursor as the client would name it.
func (c *cursor) requested() string {
	if c.asked != "" {
		return c.asked
	}
	return c.pos.String()
}
