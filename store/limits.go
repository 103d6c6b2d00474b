package store

import "time"

// Limits of a log, unless its options say otherwise.
const (
	DefaultMaxTopics = 1_000_000 // with events, and as many again without
	DefaultMaxMarks  = 1_000_000 // read marks

	// Idempotency keys are remembered for DefaultKeyWindow, at most DefaultMaxKeys of them.
	DefaultKeyWindow = 24 * time.Hour
	DefaultMaxKeys   = 1_000_000
)
