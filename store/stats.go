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
}

// Histogram is a distribution of values. The caller owns it.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64 // how many values were at most the key; no bucket for all
}
