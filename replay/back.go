package replay

import (
	"slices"

	"tidings/store"
)

// backStep is how many events are read at once.
const backStep = 256

// BackPage is the result of Back.
type BackPage struct {
	Gap    *Gap          // before the events: a damaged record, withheld
	Events []store.Event // in log order
	Older  store.ID      // older events lie below this ID; zero if there are none
}

// Back returns the newest events that match and lie below the given ID: at most n, at most maxBytes
// of data and attributes unless the newest alone is larger, and none from before a damaged record.
// Trimmed events are missing without a gap, because no cursor asked for them.
func Back(log Source, filter store.Filter, before store.ID, n,
	maxBytes int) (page BackPage, err error) {
	size := 0
	for at := before; ; {
		// one more, to learn whether it exists
		position, err := log.Newest(filter, at, n+1-len(page.Events), maxBytes-size)
		if err != nil {
			return BackPage{}, err
		}
		older, damaged, err := between(log, filter, position, at)
		if err != nil {
			return BackPage{}, err
		}
		for i := len(older) - 1; i >= 0; i-- {
			size += older[i].Size()
			if have := len(page.Events) + len(older) - 1 - i; have == n ||
				size > maxBytes && have > 0 {
				page.Events = slices.Concat(older[i+1:], page.Events)
				page.Older = page.Events[0].ID
				return page, nil
			}
		}
		page.Events = slices.Concat(older, page.Events)
		if !damaged.IsZero() {
			page.Older = damaged
			page.Gap, err = newGap(log, Corrupt, requestedBelow(before), damaged)
			return page, err
		}
		switch {
		case len(older) > 0:
			at = older[0].ID
		case position.IsZero() || position == at.Prev():
			return page, nil
		default: // the events have been trimmed meanwhile
			at, _ = position.Next()
		}
	}
}

// requestedBelow names the requested ID, if there was one.
func requestedBelow(before store.ID) string {
	if before == store.MaxID {
		return ""
	}
	return before.String()
}

// between returns the matching events above after and below before. If there are damaged records among
// them, it returns the newest of these and only the events after it.
func between(log Source, filter store.Filter,
	after, before store.ID) (events []store.Event, damaged store.ID, err error) {
	reader, head := log.NewReader(filter, after), log.Head()
	for {
		page, err := reader.Next(backStep)
		if err != nil {
			return nil, store.ID{}, err
		}
		for _, e := range page.Events {
			if !e.ID.Before(before) {
				return events, damaged, nil
			}
			events = append(events, e)
		}
		if !page.Corrupt.IsZero() && page.Corrupt.Before(before) {
			events, damaged = nil, page.Corrupt
		}
		if !page.Through.Before(head) || !page.Through.Before(before.Prev()) {
			return events, damaged, nil
		}
	}
}
