package replay

import "tidings/store"

// Reason says why a stretch of the log is missing.
type Reason string

const (
	Expired Reason = "expired" // matching events after the cursor were trimmed
	Unknown Reason = "unknown" // the cursor lies within the log but is not an event of it
	// the cursor lies after the head: the log was replaced or restored
	Ahead     Reason = "ahead"
	Malformed Reason = "malformed" // the cursor is not a ULID
	Corrupt   Reason = "corrupt"   // a record failed its checksum
)

// Gap reports that something the reader asked for is gone, before the first event after the hole.
type Gap struct {
	Reason    Reason   `json:"reason"`
	Requested string   `json:"requested"` // the cursor, as given
	Through   store.ID `json:"through"`   // the hole ends here at the latest
	First     store.ID `json:"first"`     // of the log: its oldest retained event
	Last      store.ID `json:"last"`      // of the log: its newest retained event
	Detail    string   `json:"detail"`
}

// maxRequested bounds how much of a malformed cursor is echoed.
const maxRequested = 64

func newGap(log Source, reason Reason, requested string, through store.ID) (*Gap, error) {
	info, err := log.Info()
	if err != nil {
		return nil, err
	}
	g := &Gap{Reason: reason, Requested: requested[:min(len(requested), maxRequested)],
		Through: through, First: info.First, Last: info.Last}
	switch reason {
	case Expired:
		g.Detail = "events between " + requested + " and " + through.String() +
			" were deleted by retention"
	case Unknown:
		g.Detail = "the log has no event " + requested + "; continuing after " + through.String()
	case Ahead:
		g.Detail = "the log ends at " + through.String() +
			", before the cursor: it was replaced or restored; continuing live"
	case Malformed:
		g.Detail = "the cursor is not a ULID; continuing live"
	case Corrupt:
		g.Detail = "the record " + through.String() + " is damaged and withheld; continuing after it"
	}
	return g, nil
}
