package commit

import (
	"time"

	"tidings/store"
)

// View is the log as a decision sees it: everything up to the last commit that was applied. Its
// methods are called by one goroutine while it decides, and may read the log.
type View interface {
	State() State

	// Topic looks a topic up by its name.
	Topic(name string) (TopicState, bool)

	// Trimmed is the newest trimmed ID of a topic that there is, zero if none.
	Trimmed(topic uint32) store.ID

	// Retained reports whether the log has a record of the event, be it damaged.
	Retained(id store.ID) bool

	// Key returns the idempotency key that is remembered under the hash. One that cannot be read is
	// not remembered.
	Key(hash Hash) (Key, bool)

	// OldestKeys returns the oldest keys that are remembered, at most n, in order. One that cannot be
	// read has only a First.
	OldestKeys(n int) []Key

	// Slot returns what is in a slot of a topic, zero if nothing is. Of one that cannot be read it is
	// store.MaxID, which no event has.
	Slot(topic uint32, subject string) store.ID

	// Shares are what each owner has.
	Shares() *Shares

	// Delivery returns the record of a delivery, nil if there is none, or it cannot be read.
	Delivery(name string) []byte

	// Mark returns a read mark, and whether there is one. One that cannot be read is there, as the
	// zero Mark.
	Mark(subject, name string) (store.Mark, bool)
}

// State is what a decision depends on beside the records of the log.
type State struct {
	Last      store.ID    // the last ID assigned
	Now       time.Time   // of the wall clock
	Epoch     store.Epoch // borne by what is minted
	NewEpoch  bool        // no commit has begun it
	Topics    int         // how many there are
	Bare      int         // of them, those without an event now
	Keys      int         // remembered
	OldestKey store.ID    // the First of the oldest of them; zero if none
	KeysPast  time.Time   // those of which the First has this time, or an earlier one, are forgotten
	Marks     int         // how many there are

	// NoRoom is the error that a request ends with if it would store an event; nil: there is room.
	NoRoom error

	Limits
}

// Limits are what a log holds at most.
type Limits struct {
	MaxTopics int // with events; as many again may be bare
	MaxMarks  int
	MaxKeys   int
}

// TopicState is what a decision needs of a topic.
type TopicState struct {
	Number uint32
	Newest store.ID // the newest event ever, retained or not
	Ended  store.ID // the event that ended it; zero while it has not ended
}
