package store

import "time"

// What a log holds at most, unless its options say otherwise.
const (
	DefaultMaxTopics = 1_000_000 // with events, and as many without
	DefaultMaxMarks  = 1_000_000 // read marks

	// An idempotency key is remembered for DefaultKeyWindow, but at most DefaultMaxKeys of them.
	DefaultKeyWindow = 24 * time.Hour
	DefaultMaxKeys   = 1_000_000
)
