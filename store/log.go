// Package store is the contract of the durable event log, [Log], and its words: events, IDs,
// topics, filters, marks. An engine implements it: package store/bolt is the embedded one.
//
//	log, err := bolt.Open(dir, bolt.Options{})
//	ids, err := store.Append(ctx, log, []store.Draft{{Topic: "orders", Data: body}})
//	...                                         // they are durable
//	r := log.NewReader(store.All(), store.ID{}) // from the start
//	page, err := r.Next(100)
//
// What every Log guarantees:
//
//  1. AppendOnce returns without an error only when its events are on stable storage, all of them.
//  2. IDs strictly increase in commit order, across restarts and steps of the clock.
//  3. Nothing above the head is ever returned: a reader cannot see what a crash could take back.
//  4. A Reader returns every retained event that matches and follows its position, once and in
//     order, whatever is appended or trimmed meanwhile.
//  5. What it cannot return because it was trimmed or is damaged, it names.
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
	// AppendOnce commits the drafts of all groups, all or none, in one commit, under consecutive
	// positions of the log, and returns the results of the groups in order once they are durable.
	// No groups, or a group without drafts, are ErrInvalid.
	//
	// A group whose key is known is not stored again, its result is that of the first time; a key
	// that is known for drafts that differ in topic, type, content type or data is ErrKeyMismatch.
	// A key is remembered in the commit of its events, so across restarts, within the limits of the
	// log's options; a duplicate of a group that is being committed waits for it. Publishing to a
	// topic that has ended is ErrEnded; ending it again is the first end, replayed. Only what is left
	// after that is held against a condition on the topic's newest event, and refused whole with a
	// *ConditionError when that is another; of two calls with the same condition one is stored.
	//
	// ctx bounds the wait for a commit that takes the drafts, and, if it has no deadline, the log's
	// options do; when that ends before, the error is ErrQueueFull and nothing was stored. From then on
	// AppendOnce waits for the outcome, half a minute at most. Errors: ErrInvalid, ErrTopicLimit,
	// ErrEnded, ErrKeyMismatch, ErrCondition, ErrQueueFull, ErrNoSpace, ErrClosed, ErrFailed (nothing was
	// stored), and ErrOutcomeUnknown. Those about one group of several are a *GroupError.
	AppendOnce(ctx context.Context, groups []Group) ([]Result, error)

	// Get returns the event, ErrNotFound when it is not in the log (never was, was trimmed, or is
	// above the head), or ErrCorrupt when its record fails its checksum.
	Get(id ID) (Event, error)

	// NewReader returns a Reader of the events that match f and follow after.
	NewReader(f Filter, after ID) Reader

	// Newest returns the position after which exactly the newest n retained events that match f and
	// lie before the given ID follow: the ID of the next older matching event, or, without one, the
	// position before the oldest of the n. All follow when there are fewer than n; fewer than n do
	// when the newest of them have more than maxBytes in their records together, and then only as
	// few as have. The position may be one that no event ever had. Without any such event it is
	// zero or just before the given ID. n and maxBytes are at least 0. The cost follows n and the
	// matching topics, or is that of finding the oldest event when there are fewer than n.
	Newest(f Filter, before ID, n, maxBytes int) (ID, error)

	// Resolve says what an ID is worth as a position, as of one moment. It is known when it is, or
	// may have been, an event of the log, and when it is zero: reading on after it misses nothing but
	// what Page.Trimmed tells. It is not when it lies above the head, or was certainly never an event
	// of the log. Nearest is the newest ID at or below it that certainly was one, retained or not, zero
	// if there is none; no retained event lies between the two.
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

	// CatchUp returns once this log has every commit that any log has placed before the call, if it is
	// one of several that make one sequence; else at once. An ID above the head may be an event that is
	// not here yet: who is to say that there is none asks first. It waits 5 s at most. Errors:
	// ErrUnavailable, ErrFailed, ErrClosed.
	CatchUp(ctx context.Context) error

	// Trim deletes the events that match f and lie before the given ID, oldest first, and returns
	// how many. It works in many small commits: an error leaves the log consistent with a part
	// deleted. Positions before a trimmed event stay valid; reading from them reports the loss.
	Trim(ctx context.Context, f Filter, before ID) (int, error)

	// Retain deletes what keep does not keep, and returns how many events that was: first, of each
	// topic that has limits of its own, what they do not keep, through all these topics at once,
	// about in the order of the log, so that each commit is small on disk; then, oldest first, what
	// the limits of the whole log do not keep of the rest. No event goes that the limits allow, or
	// that Keep names, whatever is appended or trimmed meanwhile. The cost follows what is deleted,
	// what Keep names first, and the topics that have limits of their own. It works, and fails, as
	// Trim does.
	Retain(ctx context.Context, keep Retention) (int, error)

	// Count returns how many retained events match f and follow after, at most max, at a cost that
	// follows what is counted.
	Count(f Filter, after ID, max int) (int, error)

	// SetMark moves the read mark that subject keeps under name to mark, durably, and returns the
	// mark as it then is: a mark never moves back, so an older ID changes nothing. Errors:
	// ErrInvalid, ErrMarkLimit, and those of AppendOnce about the log.
	SetMark(ctx context.Context, subject, name string, mark Mark) (Mark, error)

	// Mark returns a read mark, or ErrNotFound.
	Mark(subject, name string) (Mark, error)

	// Marks returns the read marks that subject keeps, sorted by name, byte for byte: those after a
	// name, or from the first one on after "", at most max. A damaged one is listed.
	Marks(subject, after string, max int) ([]NamedMark, error)

	// DeleteMark forgets a read mark, durably; ErrNotFound if there is none.
	DeleteMark(ctx context.Context, subject, name string) error

	// SetDeliveries sets and deletes deliveries, all in one commit, durably; what is nil in Record is
	// deleted, if there. The log does not look at what they say, and the last one to write a name
	// counts. Where one says what it Was, that is decided in the order of the log, for all changes of the call.
	// If it may ride, it waits up to half a second for a commit that happens anyway. Errors: ErrInvalid, ErrWas,
	// and those of AppendOnce about the log.
	SetDeliveries(ctx context.Context, changes []NamedDelivery, ride bool) error

	// Delivery returns a delivery, or ErrNotFound. A damaged one has a nil Record.
	Delivery(name string) (Delivery, error)

	// Deliveries returns all deliveries, sorted by name, byte for byte. A damaged one has a nil Record.
	Deliveries() ([]NamedDelivery, error)

	// Ended reports whether f is a set of topics, without wildcards, that have all ended, and the
	// newest of the events that ended them. It costs a look-up in memory for each.
	Ended(f Filter) (last ID, all bool)

	// Topics yields what is known of each topic that matches f and was ever appended to, in no
	// particular order, as of about now.
	Topics(f Filter) iter.Seq[TopicInfo]

	// Secret is a random key of the log, for what must stay the same over restarts and tell nobody
	// anything. It is made at creation and kept by a restore; a log of an older release gets it when
	// it is opened. A copy of the log has it, so whoever may copy the log may know it.
	Secret() [32]byte

	// Info describes the log as of about now.
	Info() (Info, error)

	// Stats describes what the log has done since it was opened. It costs no look at the log.
	Stats() Stats

	// Ready is nil when an append could go ahead, as of about now, else what it would end with: the
	// ErrFailed that says why once Failed is closed, ErrClosed, ErrDiskHangs, or ErrNoSpace.
	Ready() error

	// Failed is closed when the log can no longer accept writes for a reason that a restart must
	// decide; Ready then says why. Reading goes on.
	Failed() <-chan struct{}

	// Close refuses new appends, commits those that are queued, and returns when nothing of the log
	// runs any more. Only the first call does something; the others wait and return the same.
	Close() error
}

// Reader reads forward through the events that match a filter. It belongs to one goroutine. Between
// calls it holds no transaction and nothing that needs closing.
type Reader interface {
	// Next returns what follows the reader's position, at most max events and, unless the first
	// alone is larger, MaxPageBytes, and moves the position to the page's Through. A page without
	// events whose Through is the head means: nothing there yet. max is at least 1. The caller owns
	// the page, unless it calls Release.
	Next(max int) (Page, error)

	// Release gives back the memory of the page that Next returned last, for pages to come of any
	// reader: its Events and their Data must not be used any more. Nobody has to call it.
	Release()
}

// MaxPageBytes bounds the data in one Page, and with it how long a read transaction stays open.
const MaxPageBytes = 64 << 10

// Page is a stretch of the log as one filter sees it.
type Page struct {
	// Events are the retained matching events in (position, Through], oldest first.
	Events []Event

	// Through is how far the read has looked: every matching event up to it is in Events, was
	// trimmed (see Trimmed), or is Corrupt. It is the reader's next position, never below the last
	// one.
	Through ID

	// Trimmed is the newest trimmed ID that matches the filter and lies above the position the read
	// started from; zero when nothing that was asked for had been trimmed. It may lie above
	// Through.
	Trimmed ID

	// Corrupt is the ID of a record that failed its checksum and was withheld; zero if none. It
	// follows all Events, and Through is equal to it. Which topic it belonged to is not certain.
	Corrupt ID
}

// Group is what a key covers: drafts that are stored once, under consecutive IDs.
type Group struct {
	Drafts []Draft
	Key    string // "" stores them in any case

	// Owner is whose share of the limits the key and the new topics take: that of the first group
	// for all topics of a call. "" is everybody who has no name, without a share.
	Owner string

	// Newest, unless it is nil, is what the newest event that was ever appended to the topic must be,
	// retained or not, for the drafts to be stored; zero: there was none. That of the first group
	// counts, for all drafts of a call, which are then of one topic, and is judged before the first.
	Newest *ID

	// Slot says that Newest, which there is then, is what is in the slot of the drafts, all of one:
	// see [Draft.Slot]. Zero: nothing.
	Slot bool
}

// Result says where the drafts of a group are.
type Result struct {
	IDs      []ID
	Replayed bool // stored by an earlier call
	Trimmed  bool // replayed, and at least one of the events is not retained any more
}

// Retention is what Retain keeps. The zero value keeps everything.
type Retention struct {
	// Topics are those with limits of their own, and OfTopic returns the limits of one. It may be
	// called more than once for a topic, and must not call the log. It is not called for others.
	Topics  Filter
	OfTopic func(topic string) Limits

	Whole Limits // of the whole log, topics with limits of their own included

	// Keep, unless it is nil, returns from which event on a topic stays, whatever the limits say; zero: from
	// none. It says the same of a topic for as long as Retain runs, may be called more than once, and must not
	// call the log. What stays for that counts as what a limit would take: nothing else goes in its place.
	Keep func(topic string) ID

	// Deleted, unless it is nil, is called with the oldest and the newest ID of what was deleted, as
	// often as that is in several parts. It must not call the log.
	Deleted func(oldest, newest ID)
}

// Keeps is what Keep says.
func (r *Retention) Keeps(topic string) ID {
	if r.Keep == nil {
		return ID{}
	}
	return r.Keep(topic)
}

// Limits are what a topic, or the whole log, keeps. The zero value keeps everything.
type Limits struct {
	Before ID     // older events go
	Events uint64 // only the newest so many stay; 0: all
	Bytes  uint64 // only the newest whose records have so many bytes stay; 0: all
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
		return t.Trimmed // what is trimmed of a topic is its oldest events: all of them
	}
	return t.Last
}

// Info describes a log.
type Info struct {
	LogID     ID     // identity: made at creation, changed by a restore
	Engine    string // what keeps the log
	First     ID     // oldest retained event, zero if none
	Last      ID     // newest retained event, zero if none
	Events    uint64 // retained events
	Bytes     uint64 // size of their records
	DiskBytes int64  // what the log takes of the disk
	Topics    int    // topics ever appended to
	Keys      int    // idempotency keys remembered
	OldestKey ID     // the first event of the oldest of them, zero if none
	Marks     int    // read marks
	Bare      int    // of the topics, those without a retained event
}
