package store

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: no event has this ID, or none any more.
	ErrNotFound = errors.New("event not found")

	// ErrCorrupt: the event's record fails its checksum; its bytes are withheld.
	ErrCorrupt = errors.New("event record is damaged: checksum mismatch")

	// ErrTopicLimit: the drafts would make more topics than Options.MaxTopics. Nothing was stored.
	ErrTopicLimit = errors.New("topic limit reached")

	// ErrMarkLimit: there are as many read marks as Options.MaxMarks. Nothing was stored.
	ErrMarkLimit = errors.New("read mark limit reached")

	// ErrEnded: the topic has ended. Nothing was stored.
	ErrEnded = errors.New("topic has ended")

	// ErrKeyMismatch: the idempotency key was used for other drafts. Nothing was stored.
	ErrKeyMismatch = errors.New("idempotency key was used for something else")

	// ErrQueueFull: the committer did not get to the drafts in time. Nothing was stored.
	ErrQueueFull = errors.New("commit queue is full")

	// ErrNoSpace: the disk or the quota is full, the file is at its maximum size, or, of an append, the
	// disk is below Options.MinFree. Nothing was stored, and writing may succeed again as soon as there is room.
	ErrNoSpace = errors.New("no space left for the log")

	// ErrOutcomeUnknown: the commit of these drafts ended with an error that leaves open whether it
	// happened. Only the next Open can tell. The log has failed: the error is an ErrFailed too.
	ErrOutcomeUnknown = errors.New("it is not known whether the events were stored")

	// ErrFailed: the log accepts no more writes until it is opened again, because of a commit with an
	// unknown outcome, or because the file was found damaged or replaced. Nothing was stored, unless
	// the error is an ErrOutcomeUnknown too.
	ErrFailed = errors.New("the log has failed and accepts no more writes until it is opened again")

	// ErrClosed: the log is closed. Nothing was stored.
	ErrClosed = errors.New("the log is closed")

	// ErrLocked, from Open: another process holds the data directory.
	ErrLocked = errors.New("data directory is in use")

	// ErrBusy: a backup is being made; there is one at a time.
	ErrBusy = errors.New("another backup is being made")

	// ErrExists: the data directory has a log, which nothing may take the place of, or the log has events
	// that others cannot be put before.
	ErrExists = errors.New("there is a log already")

	// ErrNoLog: the data directory has no log.
	ErrNoLog = errors.New("there is no log")

	// ErrDamaged, from Open: the file is there but is no intact log. It is left as it was.
	ErrDamaged = errors.New("log file is damaged or not a log")

	// ErrNewerFormat, from Open: the log was written by a newer release. It is left as it was.
	ErrNewerFormat = errors.New("log file has a newer format")
)

// GroupError is an error about one of several groups.
type GroupError struct {
	Index int // of the group, from 0
	Err   error
}

func (e *GroupError) Error() string { return fmt.Sprintf("entry %d: %v", e.Index, e.Err) }
func (e *GroupError) Unwrap() error { return e.Err }
