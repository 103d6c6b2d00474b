package store

import (
	"context"
	"errors"
)

// Sequencer says whose commit comes next, for all logs that are mirrors of one sequence: the second
// answer to "what comes next", beside that of a log that is alone. A commit is bytes to it, from 1 on.
// All methods may be called concurrently; a log has one Append in flight.
//
// What every Sequencer guarantees:
//
//  1. What has a place is on stable storage, and keeps its place, until it is purged.
//  2. At a place there is one commit, the same for everybody.
//  3. A commit is placed after a place only as the next one: whoever got a place knew all before it.
type Sequencer interface {
	// LogID is the identity of the log that the sequence makes. It never changes.
	LogID(ctx context.Context) (ID, error)

	// Append gives the commit the place right after the given one, and returns it. The bytes stay the
	// caller's.
	//
	// Errors of which it is certain that the call placed nothing: ErrPlaceTaken, when another commit
	// has that place; ErrNoSpace, when the sequence has no room for one of this size; ErrUnavailable;
	// ErrDiverged. ErrPurged: it can no longer be known, for what has that place was purged. ErrOutcomeUnknown, and
	// any other, leaves open whether the commit is placed. The
	// caller then calls again with the same place and the same bytes, until it is told: they are placed
	// once at most, and if they are, their place is the answer.
	Append(ctx context.Context, after Place, commit []byte) (Place, error)

	// Follow calls deliver with each commit after the given place, its caller's own included, in order,
	// as they come, until ctx ends, deliver returns an error, or it cannot go on. It returns why. The
	// bytes are the receiver's. ErrDiverged: the sequence does not go on from this place. ErrPurged: what
	// follows it was purged.
	Follow(ctx context.Context, after Place, deliver func(Place, []byte) error) error

	// End is the place of the newest commit: of every one that was placed before the call, wherever
	// that was done, this or a later one. had is the number of a place that there was. A sequence that ends before
	// it has lost something, or those who keep it have not read it all yet: ErrUnavailable until that is certain.
	End(ctx context.Context, had uint64) (Place, error)

	// Seen is the number of the newest place that it has heard of, at once and without asking anybody: 0
	// before the first.
	Seen() uint64

	// AppendState is Append of a commit that State finds.
	AppendState(ctx context.Context, after Place, commit []byte) (Place, error)

	// State is the newest commit that AppendState has placed, and its place; the zero Place: there is none.
	State(ctx context.Context) (at Place, commit []byte, err error)

	// Find is a commit that lies after this number, soon after it as a rule, and the place that it follows; the
	// zero Place: there is none.
	Find(ctx context.Context, number uint64) (after Place, commit []byte, err error)

	// Extent is how much the sequence keeps.
	Extent(ctx context.Context) (Extent, error)

	// Purge deletes every commit up to a place, which is not the last one. Nothing else is changed. To purge
	// again what was purged does nothing. After an error it may be purged or not.
	Purge(ctx context.Context, through Place) error
}

// Extent is how much of a sequence is kept.
type Extent struct {
	First uint64 // the lowest number at which there may be a commit: 1 as long as nothing was purged
	Last  uint64 // the number of the newest place
	Bytes uint64 // that it takes on the disk of one of those who keep it, about
	Max   uint64 // bytes that it may take at most; 0: as many as there are
}

// Place is a place in a sequence of commits. The zero Place lies before the first.
type Place struct {
	Number uint64   // rises from one commit to the next, not always by one
	Chain  [16]byte // follows from all commits up to here: equal chains are equal histories
}

// Of a Sequencer, and of a write to a log that has one.
var (
	// ErrPlaceTaken: another commit has the place.
	ErrPlaceTaken = errors.New("another commit has this place")

	// ErrUnavailable: those who keep the sequence do not answer, or this log is not up to date with
	// it. Nothing was stored. Writing may succeed again as soon as they do.
	ErrUnavailable = errors.New("the log's sequence is not available")

	// ErrPurged: commits after the place that a log is at were purged. Its mirror has to be made anew, as Open
	// does.
	ErrPurged = errors.New("the log's sequence begins after what the log has")

	// ErrDiverged: the sequence is not the one that the log has followed. It ends before the log
	// does, has another commit in its place, or is that of another log.
	ErrDiverged = errors.New("the sequence is not the one that the log has followed")
)
