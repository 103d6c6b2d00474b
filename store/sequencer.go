package store

import (
	"context"
	"errors"
	"time"
)

// Sequencer decides which commit comes next, for all logs that are mirrors of one sequence; a log that
// is alone decides for itself. To it a commit is bytes, at least one. All methods may be called
// concurrently; a log has one Append in flight.
//
// What every Sequencer guarantees:
//
//  1. A commit that has a place is on stable storage and keeps its place until it is purged.
//  2. A place holds one commit, the same for all mirrors.
//  3. A commit is only ever placed directly after the given place: its writer knew all commits before it.
type Sequencer interface {
	// LogID is the identity of the log that the sequence forms. It never changes.
	LogID(ctx context.Context) (ID, error)

	// Append gives the commit the place right after the given one, and returns it. The caller keeps the
	// bytes.
	//
	// Errors after which it is certain that the call placed nothing: ErrPlaceTaken, if another commit has
	// that place; ErrNoSpace, if the sequence has no room for a commit of this size; ErrUnavailable;
	// ErrDiverged. ErrPurged: it can no longer be known, because the commit at that place was purged.
	// ErrOutcomeUnknown, and any other error, leaves open whether the commit is placed. The caller then
	// repeats the call with the same place and the same bytes until the outcome is known: they are placed
	// at most once, and if they are, their place is returned.
	Append(ctx context.Context, after Place, commit []byte) (Place, error)

	// Follow calls deliver with each commit after the given place, the caller's own included, in order, as they
	// arrive, until ctx ends, deliver returns an error, or it cannot continue. It returns the reason. The receiver
	// owns the bytes. ErrDiverged: the sequence does not continue from this place. ErrPurged: the commits that
	// follow it were purged.
	Follow(ctx context.Context, after Place, deliver func(Place, []byte) error) error

	// End is the place of the newest commit: at or after every commit placed before the call, on whatever node.
	// had is the number of a place that once existed. If the sequence ends before it, the sequence has lost
	// something, or its servers have not read all of it yet: ErrUnavailable until that is certain.
	End(ctx context.Context, had uint64) (Place, error)

	// Seen is the number of the newest place that the Sequencer has heard of, 0 before the first. It returns at
	// once and asks nobody.
	Seen() uint64

	// Turn is called by a log that has something to append. It returns for how long the next place should be left to
	// others, which wait for it too; 0: it is this log's turn. It is a courtesy: Append may be called sooner. It
	// returns at once.
	Turn() time.Duration

	// AppendState is Append for a commit that State is to find.
	AppendState(ctx context.Context, after Place, commit []byte) (Place, error)

	// State is the newest commit that AppendState has placed, and its place; the zero Place: there is none.
	State(ctx context.Context) (at Place, commit []byte, err error)

	// Find returns a commit after this number, usually soon after it, and the place that the commit follows; the
	// zero Place: there is none.
	Find(ctx context.Context, number uint64) (after Place, commit []byte, err error)

	// Extent is how much of the sequence is kept.
	Extent(ctx context.Context) (Extent, error)

	// Purge deletes every commit up to a place, which is not the last, and changes nothing else. Purging again
	// does nothing. After an error the commits may or may not be purged.
	Purge(ctx context.Context, through Place) error
}

// Extent is how much of a sequence is kept.
type Extent struct {
	First uint64 // the lowest number at which there may be a commit: 1 as long as nothing was purged
	Last  uint64 // the number of the newest place
	Bytes uint64 // disk space that it takes on one of its servers, about
	Max   uint64 // bytes that it may take; 0: no limit
}

// Place is a place in a sequence of commits. The zero Place lies before the first.
type Place struct {
	Number uint64   // rises from one commit to the next, not always by one
	Chain  [16]byte // derived from all commits up to here: equal chains are equal histories
}

// Errors of a Sequencer, and of a write to a log that has one.
var (
	// ErrPlaceTaken: another commit has the place.
	ErrPlaceTaken = errors.New("another commit has this place")

	// ErrUnavailable: the servers that keep the sequence do not answer, or this log is not up to date
	// with it. Nothing was stored. Writing may succeed again as soon as they do.
	ErrUnavailable = errors.New("the log's sequence is not available")

	// ErrPurged: commits after the place that a log is at were purged. Its mirror has to be rebuilt, which Open
	// does.
	ErrPurged = errors.New("the log's sequence begins after the log's end")

	// ErrDiverged: the sequence is not the one that the log has followed. It ends before the log does, has
	// another commit at the log's place, or belongs to another log.
	ErrDiverged = errors.New("the sequence is not the one that the log follows")
)
