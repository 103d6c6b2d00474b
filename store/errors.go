package store

import (
	"errors"
	"fmt"
)

// Of a read.
var (
	// ErrNotFound: no event has this ID, or none any more.
	ErrNotFound = errors.New("event not found")

	// ErrCorrupt: the event's record fails its checksum; its bytes are withheld.
	ErrCorrupt = errors.New("event record is damaged: checksum mismatch")
)

// Of a write, about itself: nothing was stored, and the same write would be refused again.
var (
	// ErrInvalid: a draft, a topic, a pattern or a mark breaks a rule; the error's text names the rule.
	ErrInvalid = errors.New("invalid")

	// ErrTopicLimit: the drafts would make more topics than the log may have, or than are then left
	// for others than their owner.
	ErrTopicLimit = errors.New("topic limit reached")

	// ErrMarkLimit: there are as many read marks as the log may have, or the subject would keep more
	// than are then left for others.
	ErrMarkLimit = errors.New("read mark limit reached")

	// ErrEnded: the topic has ended.
	ErrEnded = errors.New("topic has ended")

	// ErrKeyMismatch: the idempotency key was used for other drafts.
	ErrKeyMismatch = errors.New("idempotency key was used for something else")

	// ErrCondition: the topic's newest event is another than the drafts were to follow: always a
	// *ConditionError.
	ErrCondition = errors.New("condition failed")

	// ErrWas: a delivery's record is another one than it was to be.
	ErrWas = errors.New("the record is another one by now")
)

// Of a write, about the log: nothing was stored, but for ErrOutcomeUnknown.
var (
	// ErrDiskHangs: the disk has not ended a commit for seconds. Writing goes on when it does.
	ErrDiskHangs = errors.New("the disk hangs")

	// ErrQueueFull: the committer did not get to the drafts in time.
	ErrQueueFull = errors.New("commit queue is full")

	// ErrNoSpace: the disk or the quota is full, the log is at its maximum size, or, of an append,
	// the disk has less free than must stay so. Writing may succeed again as soon as there is room.
	ErrNoSpace = errors.New("no space left for the log")

	// ErrOutcomeUnknown: the commit of these drafts ended with an error that leaves open whether it
	// happened. Only the next Open can tell. The log has failed: the error is an ErrFailed too. Or the
	// commit has not ended in time, and may still be stored: then it is none.
	ErrOutcomeUnknown = errors.New("it is not known whether the events were stored")

	// ErrFailed: the log accepts no more writes until it is opened again, because of a commit with
	// an unknown outcome, or because its storage was found damaged or replaced. Nothing was stored,
	// unless the error is an ErrOutcomeUnknown too.
	ErrFailed = errors.New("the log has failed and accepts no more writes until it is opened again")
)

// Of anything.
var (
	// ErrClosed: the log is closed.
	ErrClosed = errors.New("the log is closed")

	// ErrBusy: a backup is being made; there is one at a time.
	ErrBusy = errors.New("another backup is being made")
)

// ConditionError is an ErrCondition.
type ConditionError struct {
	Newest ID // the newest event of the topic, or what is in the slot; zero if there is none
}

func (e *ConditionError) Error() string {
	if e.Newest.IsZero() {
		return ErrCondition.Error() + ": there is no such event"
	}
	return fmt.Sprintf("%v: the newest event of the topic is %s", ErrCondition, e.Newest)
}

func (e *ConditionError) Unwrap() error { return ErrCondition }

// GroupError is an error about one of several groups.
type GroupError struct {
	Index int // of the group, from 0
	Err   error
}

func (e *GroupError) Error() string { return fmt.Sprintf("entry %d: %v", e.Index, e.Err) }
func (e *GroupError) Unwrap() error { return e.Err }
