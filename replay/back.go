package replay

import (
	"slices"

	"tidings/store"
)

// backStep is how many events are read at once on the way back: so many may be read in vain.
const backStep = 16

// Back returns the newest events that match and lie below the given ID, in log order: at most n, and at most
// maxBytes of data unless the newest alone is larger. more reports whether there are older ones. What
// was trimmed is not there; that is no gap, as nobody asked for it by a cursor.
func Back(log store.Log, filter store.Filter, before store.ID, n, maxBytes int) (events []store.Event, more bool, err error) {
	size := 0
	for at := before; ; at = events[0].ID {
		position, err := log.Newest(filter, at, backStep)
		if err != nil {
			return nil, false, err
		}
		older, err := between(log, filter, position, at)
		if err != nil {
			return nil, false, err
		}
		if len(older) == 0 {
			return events, false, nil
		}
		for i := len(older) - 1; i >= 0; i-- {
			size += len(older[i].Data)
			if len(events)+len(older)-1-i == n || size > maxBytes && len(events)+len(older)-1-i > 0 {
				return slices.Concat(older[i+1:], events), true, nil
			}
		}
		events = slices.Concat(older, events)
	}
}

// between returns the matching events above after and below before.
func between(log store.Log, filter store.Filter, after, before store.ID) (events []store.Event, err error) {
	reader, head := log.NewReader(filter, after), log.Head()
	for {
		page, err := reader.Next(backStep)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			if !e.ID.Before(before) {
				return events, nil
			}
			events = append(events, e)
		}
		if !page.Through.Before(head) || !page.Through.Before(before.Prev()) {
			return events, nil
		}
	}
}
