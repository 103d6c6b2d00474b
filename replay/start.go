package replay

import (
	"errors"
	"fmt"
	"time"

	"tidings/internal/duration"
	"tidings/internal/rfc3339"
	"tidings/store"
)

// Start says where a cursor begins. The zero Start is Latest.
type Start struct {
	kind   startKind
	cursor string
	since  time.Time
	last   int
}

type startKind int

const (
	latest startKind = iota
	earliest
	after
	since
	last
)

// Latest starts after the newest event.
func Latest() Start { return Start{} }

// Earliest starts before the oldest retained event; events no longer retained are not a gap.
func Earliest() Start { return Start{kind: earliest} }

// After starts after the event with this ID, as a client sent it. Any text is allowed: one that is not a
// position of this log becomes a gap.
func After(cursor string) Start { return Start{kind: after, cursor: cursor} }

// Cursor returns the ID after which s starts; zero if it starts elsewhere or the client's cursor is not
// an ID.
func (s Start) Cursor() store.ID {
	id, _ := store.ParseID(s.cursor)
	return id
}

// Since starts with the first event committed at t or later; a future time is Latest.
func Since(t time.Time) Start { return Start{kind: since, since: t} }

// Last starts with the newest n matching events; 0 is Latest.
func Last(n int) Start {
	if n == 0 {
		return Latest()
	}
	return Start{kind: last, last: n}
}

// ErrSince is wrapped by ParseSince's errors.
var ErrSince = errors.New(
	`expected "earliest", "latest", a duration such as 15m or 1d, or an RFC 3339 time, whose ` +
		`+ is written %2B in a URL`)

// ParseSince reads "earliest", "latest", an age as duration.Parse reads it, or an RFC 3339 time. past
// returns the time that lies an age back.
func ParseSince(s string, past func(age time.Duration) time.Time) (Start, error) {
	switch s {
	case "earliest":
		return Earliest(), nil
	case "latest":
		return Latest(), nil
	}
	if t, err := rfc3339.Parse(s); err == nil {
		return Since(t), nil
	}
	d, err := duration.Parse(s)
	if err != nil || d < 0 {
		return Start{}, fmt.Errorf("%w, got %.64q", ErrSince, s)
	}
	return Since(past(d)), nil
}
