package store

import (
	"errors"
	"fmt"
)

// Errors of a read.
var (
	// ErrNotFound: no event has this ID, or no longer.
	ErrNotFound = errors.New("event not found")

	// ErrCorrupt: the event's record fails its checksum; its bytes are withheld.
	ErrCorrupt = errors.New("event record is damaged: checksum mismatch")
)

// Errors about the write itself: nothing was stored, and the same write would be refused again.
var (
	// ErrInvalid: a draft, topic, pattern or mark breaks a rule; the error's text names the rule.
	ErrInvalid = errors.New("invalid")

	// ErrTopicLimit: the log would have too many topics, or the owner would have more than are then
	// left for all others.
	ErrTopicLimit = errors.New("topic limit reached")

	// ErrMarkLimit: the log has as many read marks as it may, or the subject would have more than are
	// then left for all others.
	ErrMarkLimit = errors.New("read mark limit reached")

	// ErrEnded: the topic has ended.
	ErrEnded = errors.New("topic has ended")

	// ErrKeyMismatch: the idempotency key was used for different drafts.
	ErrKeyMismatch = errors.New("idempotency key was used for something else")

	// ErrCondition: the topic's newest event is not the one that the drafts must follow. Always a
	// *ConditionError.
	ErrCondition = errors.New("condition failed")

	// ErrWas: a delivery's record is not what Was requires.
	ErrWas = errors.New("the record has changed meanwhile")
)

// Errors of a write, about the log: nothing was stored, except after ErrOutcomeUnknown.
var (
	// ErrDiskHangs: the disk has not finished a commit for seconds. Writing continues once it does.
	ErrDiskHangs = errors.New("the disk hangs")

	// ErrQueueFull: the committer did not take the drafts in time.
	ErrQueueFull = errors.New("commit queue is full")

	// ErrNoSpace: the disk or the quota is full, the log has its maximum size, or, for an append, less
	// disk is free than must stay free. Writing may succeed again as soon as there is room.
	ErrNoSpace = errors.New("no space left for the log")

	// ErrOutcomeUnknown: the commit of these drafts ended with an error that leaves open whether it
	// happened. Only the next Open can tell. The log has failed, and the error is an ErrFailed too. Or
	// the commit did not end in time and may still be stored; then the error is not an ErrFailed.
	ErrOutcomeUnknown = errors.New("unknown whether the events were stored")

	// ErrFailed: the log accepts no writes until it is opened again, because a commit had an unknown
	// outcome, or its storage was found damaged or replaced. Nothing was stored, unless the error is an
	// ErrOutcomeUnknown too.
	ErrFailed = errors.New("the log has failed and accepts no writes until it is reopened")
)

// Errors of any call.
var (
	// ErrClosed: the log is closed.
	ErrClosed = errors.New("the log is closed")

	// ErrBusy: a backup is being made; there is one at a time.
	ErrBusy = errors.New("another backup is being made")
)

// ConditionError is an ErrCondition.
type ConditionError struct {
	Newest ID // the newest event of the topic, or the event in the slot; zero if there is none
}

func (e *ConditionError) Error() string {
	if e.Newest.IsZero() {
		return ErrCondition.Error() + ": no such event"
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
