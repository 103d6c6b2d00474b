package store

import "time"

// Stats is what a Log has done since it was opened, as of about now.
type Stats struct {
	Queued      int       // requests that wait for the committer
	QueuedBytes int64     // memory of those, and of the requests being committed
	Reading     int       // open read transactions
	Trimmed     uint64    // events deleted
	KeysCrowded uint64    // idempotency keys forgotten early for lack of room
	Batches     Histogram // events stored by one commit
	// seconds of one commit of any kind, its fsyncs included; failed ones are not in it
	Commits    Histogram
	Committing time.Duration // age of the commit under way, 0 while there is none
	Writes     Histogram     // seconds of these spent writing to the disk, two fsyncs each

	Opening   time.Duration // how long the open took
	Unchecked uint64        // bytes of the file that the check after a clean close has not reached

	Sequence SequenceStats
}

// SequenceStats is what a Log has done with its Sequencer; zero without one.
type SequenceStats struct {
	Attempts  uint64 // commits that a place was requested for
	Conflicts uint64 // of these: another commit had the place
	Unknown   uint64 // of these: the outcome was reported as unknown

	Lag     uint64        // places not applied here yet, up to the newest that the Sequencer has heard of
	Behind  time.Duration // how long there has been a lag, at least; 0 without one
	Rebuilt bool          // the mirror was damaged at the open, and was rebuilt
}

// Histogram is a distribution of values. The caller owns it.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64 // how many values were at most the key; no bucket for all
}
