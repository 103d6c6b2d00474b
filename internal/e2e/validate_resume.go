package e2e

import (
	"fmt"
	"slices"

	"tidings/store"
)

// GapSignalled is I6: the stream reports every trimmed event that a connection asked for by its cursor, before the
// first event after it, and nothing else. A start without a cursor, and the cursor that means the start of the log, ask
// for retained events; what is trimmed after their first event is reported to them, too, but only for an early consumer
// can that be distinguished from what was gone before.
func GapSignalled(h *History) error {
	var f faults
	trimmed := sorted(h.Trimmed)
	for _, c := range h.Consumers {
		for i := range c.Connections {
			c.checkGaps(&f, trimmed, &c.Connections[i])
		}
	}
	return f.err()
}

func (c *Consumer) checkGaps(f *faults, trimmed []Entry, conn *Connection) {
	at, told, started := conn.After, conn.After, !conn.After.IsZero()
	strict := started
	silent := func(through store.ID) {
		if !strict {
			return
		}
		for _, e := range c.between(trimmed, store.Later(at, told), through) {
			f.add("%s, which asked for what follows %s, was not told in time that %s is gone",
				c.Name, conn.After, e.ID)
		}
	}
	for _, item := range conn.Items {
		if item.Gap == nil {
			silent(item.ID.Prev())
			at, started, strict = item.ID, true, strict || c.Early
			continue
		}
		if !started || len(c.between(trimmed, at, item.Gap.Through)) == 0 {
			f.add("%s got a gap (%s) between %s and %s, where nothing is missing", c.Name,
				item.Gap.Reason, at, item.Gap.Through)
		}
		told = item.Gap.Through
	}
	if conn.Live {
		silent(store.MaxID)
	}
}

// Resumable is I7: a connection received the log after its cursor, from the first matching event and without a hole;
// and the last connection of a consumer received all of it. So wherever the cuts were, the history before a cut and the
// one after it together are the log. A cursor from an open event or a heartbeat counts like that of an event: nothing
// may lie between it and what was delivered. What was trimmed later may have been delivered or not.
func Resumable(h *History) error {
	var f faults
	log := sorted(h.Log)
	trimmed := make(map[Entry]bool)
	for _, e := range h.Trimmed {
		trimmed[e] = true
	}
	for _, c := range h.Consumers {
		seen, _ := c.start()
		for i := range c.Connections {
			conn := &c.Connections[i]
			for _, e := range c.between(log, seen, conn.After) {
				f.add("%s, connection %d: its cursor %s passed over %s", c.Name,
					i, conn.After, e.ID)
			}
			got := slices.DeleteFunc(conn.entries(), func(e Entry) bool { return trimmed[e] })
			want := c.between(log, conn.After, store.MaxID)
			if i < len(c.Connections)-1 {
				want = want[:min(len(want), len(got))] // it was cut off, the next one continues
			}
			findDifference(&f, fmt.Sprintf("%s, connection %d after %s", c.Name,
				i, conn.After), got, want)
			seen = store.Later(seen, conn.After)
			if len(got) > 0 {
				seen = store.Later(seen, got[len(got)-1].ID)
			}
		}
	}
	return f.err()
}

func findDifference(f *faults, who string, got, want []Entry) {
	for n := range max(len(got), len(want)) {
		switch {
		case n >= len(want):
			f.add("%s: event %d is %s, want the end of the log", who, n, got[n].ID)
		case n >= len(got):
			f.add("%s: it ended before %s", who, want[n].ID)
		case got[n] != want[n]:
			f.add("%s: event %d is %s %v, want %s %v", who, n, got[n].ID, got[n].Message,
				want[n].ID, want[n].Message)
		default:
			continue
		}
		return // everything after this is shifted
	}
}
