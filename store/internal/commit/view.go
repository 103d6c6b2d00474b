package commit

import (
	"time"

	"tidings/store"
)

// View is the log as a decision sees it: everything up to the last applied commit. One goroutine calls
// its methods while it decides; they may read the log.
type View interface {
	State() State

	// Topic looks up a topic by its name.
	Topic(name string) (TopicState, bool)

	// Trimmed returns the newest trimmed ID of an existing topic, zero if none.
	Trimmed(topic uint32) store.ID

	// Retained reports whether the log has a record of the event, damaged or not.
	Retained(id store.ID) bool

	// Key returns the idempotency key that is remembered under the hash. An unreadable one does not
	// count as remembered.
	Key(hash Hash) (Key, bool)

	// OldestKeys returns the oldest remembered keys, at most n, in order. An unreadable one has only a
	// First.
	OldestKeys(n int) []Key

	// Slot returns what is in a slot of a topic, zero if it is empty. For an unreadable one it is
	// store.MaxID, which no event has.
	Slot(topic uint32, subject string) store.ID

	// Shares returns what each owner has.
	Shares() *Shares

	// Delivery returns the record of a delivery, nil if there is none or it cannot be read.
	Delivery(name string) []byte

	// Mark returns a read mark, and whether it exists. An unreadable one exists, as the zero Mark.
	Mark(subject, name string) (store.Mark, bool)
}

// State is what a decision depends on besides the records of the log.
type State struct {
	Last      store.ID    // the last ID assigned
	Now       time.Time   // of the wall clock
	Epoch     store.Epoch // of new IDs
	NewEpoch  bool        // no commit has begun it
	Topics    int         // existing ones
	Bare      int         // topics without an event now
	Keys      int         // remembered ones
	OldestKey store.ID    // the First of the oldest of them; zero if none
	KeysPast  time.Time   // keys whose First has this time or an earlier one are forgotten
	Marks     int         // existing ones

	// NoRoom is the error of a request that would store an event; nil: there is room.
	NoRoom error

	Limits
}

// Limits are what a log holds at most.
type Limits struct {
	MaxTopics int // with events; as many again may have none
	MaxMarks  int
	MaxKeys   int
}

// TopicState is what a decision needs of a topic.
type TopicState struct {
	Number uint32
	Newest store.ID // the newest event it ever had, retained or not
	Ended  store.ID // the event that ended it; zero while it has not ended
}
