package store

import "time"

// Stats is what a Log has done since it was opened, as of about now.
type Stats struct {
	Queued      int       // requests that wait for the committer
	QueuedBytes int64     // memory of those, and of those that are being committed
	Reading     int       // read transactions that are open
	Trimmed     uint64    // events deleted
	KeysCrowded uint64    // idempotency keys forgotten before their time, for want of room
	Batches     Histogram // events stored by one commit
	// seconds of one commit of any kind, its fsyncs included; those that failed are not in it
	Commits    Histogram
	Committing time.Duration // age of the commit under way, 0 while there is none
	Writes     Histogram     // seconds of these that writing to the disk took, two fsyncs each

	Opening   time.Duration // how long the open took
	Unchecked uint64        // bytes of the file that the check after a clean close has not come to

	Sequence SequenceStats
}

// SequenceStats is how a Log and its Sequencer get on; zero without one.
type SequenceStats struct {
	Attempts  uint64 // commits that a place was asked for
	Conflicts uint64 // of these: another commit had the place
	Unknown   uint64 // of these: those who asked were told that the outcome is not known

	Lag     uint64        // places that are not applied here, up to the newest that the Sequencer has heard of
	Behind  time.Duration // for how long that has been so, at least: 0 while there is no lag
	Rebuilt bool          // the mirror was damaged at the open, and was made anew
}

// Histogram is a distribution of values. The caller owns it.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64 // how many values were at most the key; no bucket for all
}
