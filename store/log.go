// Package store is the contract of the durable event log, [Log], and its terms: events, IDs, topics,
// filters, marks. Engines implement it; package store/bolt is the embedded one.
//
//	log, err := bolt.Open(dir, bolt.Options{})
//	ids, err := store.Append(ctx, log, []store.Draft{{Topic: "orders", Data: body}})
//	...                                         // they are durable
//	r := log.NewReader(store.All(), store.ID{}) // from the start
//	page, err := r.Next(100)
//
// What every Log guarantees:
//
//  1. AppendOnce returns without an error only when all its events are on stable storage.
//  2. IDs strictly increase in commit order, across restarts and clock changes.
//  3. Nothing above the head is ever returned: a reader never sees what a crash could undo.
//  4. A Reader returns every retained event that matches and follows its position, once and in
//     order, whatever is appended or trimmed meanwhile.
//  5. What it cannot return because it was trimmed or is damaged, it reports.
//
// A notification is a hint, the log is the truth: [Log.Wait] says that there may be more, reading
// says what. Package storetest checks a Log against this contract; every engine passes it.
package store

import (
	"context"
	"iter"
)

// Log is an append-only, totally ordered log of events. All methods may be called concurrently.
type Log interface {
	// AppendOnce commits the drafts of all groups, all or none, in one commit, at consecutive positions
	// of the log, and returns the results of the groups in order once they are durable. No groups, or a
	// group without drafts, are ErrInvalid.
	//
	// A group whose key is known is not stored again: its result is the first one. A key that is known
	// for drafts that differ in topic, type, content type or data is ErrKeyMismatch. A key is stored in
	// the commit of its events, so it survives restarts, within the limits of the log's options; a
	// duplicate of a group that is being committed waits for it. Publishing to a topic that has ended
	// is ErrEnded; ending it again replays the first end. A condition on the topic's newest event is
	// judged last, for what is then left to store: if the newest is another event, all of it is refused
	// with a *ConditionError. Of two calls with the same condition one is stored.
	//
	// ctx, or the log's options if ctx has no deadline, bounds the wait for a commit that takes the
	// drafts; when it ends first, the error is ErrQueueFull and nothing was stored. Once a commit has
	// taken them, AppendOnce waits for the outcome, half a minute at most. Errors: ErrInvalid,
	// ErrTopicLimit, ErrEnded, ErrKeyMismatch, ErrCondition, ErrQueueFull, ErrNoSpace, ErrClosed,
	// ErrFailed (nothing was stored), and ErrOutcomeUnknown. An error about one of several groups is a
	// *GroupError.
	AppendOnce(ctx context.Context, groups []Group) ([]Result, error)

	// Get returns the event, ErrNotFound if it is not in the log (never was, was trimmed, or is above
	// the head), or ErrCorrupt if its record fails its checksum.
	Get(id ID) (Event, error)

	// NewReader returns a Reader of the events that match f and follow after.
	NewReader(f Filter, after ID) Reader

	// Newest returns the position after which, of the retained events that match f and lie before the
	// given ID, exactly the newest n follow: the ID of the next older matching event or, without one, the
	// position before the oldest of the n. If there are fewer than n, all follow. If the newest fewer
	// than n have records of more than maxBytes together, only as many follow as it takes to exceed it.
	// The position may be one that no event ever had. Without any such event it is zero or just before
	// the given ID. n and maxBytes are at least 0. The cost is proportional to n and the matching topics
	// or, with fewer than n events, is the cost of finding the oldest.
	Newest(f Filter, before ID, n, maxBytes int) (ID, error)

	// Resolve judges an ID as a position, as of one moment. It is known if it is zero, or is or may have
	// been an event of the log: reading after it misses nothing but what Page.Trimmed reports. It is not
	// known if it lies above the head or certainly never was an event of the log. Nearest is the newest
	// ID at or below it that certainly was one, retained or not, zero if there is none; no retained event
	// lies between the two.
	Resolve(id ID) (nearest ID, known bool, err error)

	// Floor returns the ID of the newest retained event at or below id and the head, zero if none.
	Floor(id ID) (ID, error)

	// Head is the last ID known to be durable. It survives the trimming of its event; zero only
	// while nothing was ever appended.
	Head() ID

	// Trimmed is the highest ID that was ever trimmed, of any topic; zero if none.
	Trimmed() ID

	// Wait returns nil as soon as the head is above after; otherwise the cause of ctx's end,
	// ErrClosed, or ErrFailed.
	Wait(ctx context.Context, after ID) error

	// CatchUp returns once this log has every commit that any log placed before the call, if it is one
	// of several mirrors of a sequence; otherwise at once. An ID above the head may be an event that has
	// not arrived here yet: call CatchUp before reporting that it does not exist. It waits 5 s at most.
	// Errors: ErrUnavailable, ErrFailed, ErrClosed.
	CatchUp(ctx context.Context) error

	// Trim deletes the events that match f and lie before the given ID, oldest first, and returns how
	// many. It works in many small commits: after an error the log is consistent, with some of them
	// deleted. Positions before a trimmed event stay valid; reading from them reports the loss.
	Trim(ctx context.Context, f Filter, before ID) (int, error)

	// Retain deletes the events beyond the limits of keep, and returns how many. First it deletes what
	// topics with limits of their own do not keep, in all these topics at once and roughly in log order,
	// so that each commit is small on disk; then, oldest first, what the limits of the whole log do not
	// keep of the rest. No event is deleted that the limits allow or that Keep names, whatever is
	// appended or trimmed meanwhile. The cost is proportional to the events deleted, the oldest ones that
	// Keep names, and the topics with limits of their own. It works in small commits, and fails, as Trim
	// does.
	Retain(ctx context.Context, keep Retention) (int, error)

	// Count returns how many retained events match f and follow after, at most max. The cost is
	// proportional to the result.
	Count(f Filter, after ID, max int) (int, error)

	// SetMark durably moves the read mark that subject keeps under name, and returns the mark as it then
	// is: a mark never moves back, so an older ID changes nothing. Errors: ErrInvalid, ErrMarkLimit, and
	// the errors of AppendOnce about the log.
	SetMark(ctx context.Context, subject, name string, mark Mark) (Mark, error)

	// Mark returns a read mark, or ErrNotFound.
	Mark(subject, name string) (Mark, error)

	// Marks returns the read marks that subject keeps, sorted by the bytes of their names: those after a
	// name, or from the first after "", at most max. Damaged ones are listed.
	Marks(subject, after string, max int) ([]NamedMark, error)

	// DeleteMark durably deletes a read mark; ErrNotFound if there is none.
	DeleteMark(ctx context.Context, subject, name string) error

	// SetDeliveries durably sets and deletes deliveries, all in one commit; one with a nil Record is deleted, if it
	// exists. The log does not interpret records, and the last write of a name counts. Was is judged in log order,
	// for all changes of the call. With ride, the call waits up to half a second for a commit that happens anyway.
	// Errors: ErrInvalid, ErrWas, and the errors of AppendOnce about the log.
	SetDeliveries(ctx context.Context, changes []NamedDelivery, ride bool) error

	// Delivery returns a delivery, or ErrNotFound. A damaged one has a nil Record.
	Delivery(name string) (Delivery, error)

	// Deliveries returns all deliveries, sorted by the bytes of their names. A damaged one has a nil Record.
	Deliveries() ([]NamedDelivery, error)

	// Ended reports whether f consists of topics, without wildcards, that have all ended, and returns the
	// newest of the events that ended them. It costs one look-up in memory per topic.
	Ended(f Filter) (last ID, all bool)

	// Topics yields each topic that matches f and was ever appended to, in no particular order, as of
	// about now.
	Topics(f Filter) iter.Seq[TopicInfo]

	// Secret is a random key of the log, for values that must survive restarts and reveal nothing. It is
	// created with the log and kept by a restore; a log of an older release gets one when it is opened.
	// A copy of the log contains it, so anyone who may copy the log may know it.
	Secret() [32]byte

	// Info describes the log as of about now.
	Info() (Info, error)

	// Stats describes what the log has done since it was opened, without reading the log.
	Stats() Stats

	// Ready is nil if an append could proceed, as of about now; otherwise the error that it would return:
	// once Failed is closed the ErrFailed that says why, or ErrClosed, ErrDiskHangs, or ErrNoSpace.
	Ready() error

	// Failed is closed when the log can no longer accept writes for a reason that a restart must
	// resolve; Ready then says why. Reading continues.
	Failed() <-chan struct{}

	// Close refuses new appends, commits those that are queued, and returns when nothing of the log is
	// running. Only the first call does this; the others wait and return the same.
	Close() error
}

// Reader reads the events that match a filter, forward. It belongs to one goroutine. Between calls it
// holds no transaction, and it needs no closing.
type Reader interface {
	// Next returns what follows the reader's position, at most max events and, unless the first alone is
	// larger, MaxPageBytes, and moves the position to the page's Through. A page without events whose
	// Through is the head means that there is nothing yet. max is at least 1. The caller owns the page
	// until it calls Release.
	Next(max int) (Page, error)

	// Release gives back the memory of the page that Next returned last, for later pages of any reader:
	// its Events and their Data must not be used afterwards. Calling it is optional.
	Release()
}

// MaxPageBytes bounds the data in one Page, and with it how long a read transaction stays open.
const MaxPageBytes = 64 << 10

// Page is a stretch of the log as one filter sees it.
type Page struct {
	// Events are the retained matching events in (position, Through], oldest first.
	Events []Event

	// Through is how far the read has looked: every matching event up to it is in Events, was trimmed
	// (see Trimmed), or is Corrupt. It is the reader's next position, never below the previous one.
	Through ID

	// Trimmed is the newest trimmed ID that matches the filter and lies above the position the read
	// started from; zero if none of the requested events had been trimmed. It may lie above Through.
	Trimmed ID

	// Corrupt is the ID of a record that failed its checksum and was withheld; zero if none. It follows
	// all Events and equals Through. Its topic is not certain.
	Corrupt ID
}

// Group is what a key covers: drafts that are stored once, under consecutive IDs.
type Group struct {
	Drafts []Draft
	Key    string // "" always stores them

	// Owner is whose share of the limits the key and the new topics count against: for all topics of a
	// call the first group's. "" is everyone without a name, without a share.
	Owner string

	// Newest, unless nil, is the ID that the newest event ever appended to the topic, retained or not,
	// must have for the drafts to be stored; zero: there must have been none. The first group's counts,
	// for all drafts of the call, which must then have one topic, and is judged before the first draft.
	Newest *ID

	// Slot applies Newest, which must then be set, to the slot of the drafts, which must all have the
	// same one: see [Draft.Slot]. Zero: the slot must be empty.
	Slot bool
}

// Result says where the drafts of a group are.
type Result struct {
	IDs      []ID
	Replayed bool // stored by an earlier call
	Trimmed  bool // replayed, and at least one of the events is no longer retained
}

// Retention is what Retain keeps. The zero value keeps everything.
type Retention struct {
	// Topics are the topics with limits of their own, and OfTopic returns the limits of one. It may be
	// called more than once for a topic, is not called for other topics, and must not call the log.
	Topics  Filter
	OfTopic func(topic string) Limits

	Whole Limits // of the whole log, topics with limits of their own included

	// Keep, unless nil, returns the event from which on a topic is kept, whatever the limits say; zero: none. It
	// must return the same for a topic as long as Retain runs, may be called more than once, and must not call the
	// log. An event that is kept for this still counts as beyond its limit: no other is deleted in its place.
	Keep func(topic string) ID

	// Deleted, unless nil, is called with the oldest and the newest deleted ID, once for each part that
	// is deleted. It must not call the log.
	Deleted func(oldest, newest ID)
}

// Keeps returns the result of Keep, zero if that is nil.
func (r *Retention) Keeps(topic string) ID {
	if r.Keep == nil {
		return ID{}
	}
	return r.Keep(topic)
}

// Limits are what a topic, or the whole log, keeps. The zero value keeps everything.
type Limits struct {
	Before ID     // older events go
	Events uint64 // only this many of the newest stay; 0: all
	Bytes  uint64 // only the newest whose records have this many bytes stay; 0: all
}

// TopicInfo is the bookkeeping of one topic.
type TopicInfo struct {
	Topic   string
	Count   uint64 // retained events
	Bytes   uint64 // size of their records
	First   ID     // oldest retained event, zero if none
	Last    ID     // newest retained event, zero if none
	Trimmed ID     // newest trimmed event, zero if none
	Ended   ID     // the event that ended the topic, retained or not; zero while it has not ended
}

// Newest is the newest event that was ever appended to the topic, retained or not.
func (t TopicInfo) Newest() ID {
	if t.Last.IsZero() {
		return t.Trimmed // a topic is trimmed from its oldest event on: here, all of it
	}
	return t.Last
}

// Info describes a log.
type Info struct {
	LogID     ID     // identity: set at creation, changed by a restore
	Engine    string // what keeps the log
	First     ID     // oldest retained event, zero if none
	Last      ID     // newest retained event, zero if none
	Events    uint64 // retained events
	Bytes     uint64 // size of their records
	DiskBytes int64  // disk space that the log takes
	Topics    int    // topics ever appended to
	Keys      int    // idempotency keys remembered
	OldestKey ID     // the first event of the oldest of them, zero if none
	Marks     int    // read marks
	Bare      int    // of the topics, those without a retained event
}
