// Package commit is what a log commits, and how it is decided: admission apart from any engine.
//
// A [Commit] is a value. [Decider.Decide] makes one of the requests that wait, through a [View] of the
// log as it is: what is stored, under which IDs, what is refused and why. It writes nothing. An
// engine then applies the commit, all of it or none, and decides nothing:
//
//  1. Decide, with no write transaction open.
//  2. Apply: begin, write, sync.
//  3. Show what is durable to readers. Only then is anybody answered.
//
// A commit that another node decided is applied by the same code: between 1 and 2 others may come
// first, and then After is no longer the last ID and the requests are decided again. Encoded
// ([Commit.AppendBinary]), a commit can travel; docs/FORMAT.md draws its bytes.
package commit

import "tidings/store"

// Commit is one step of the log, all or nothing. An engine applies Trims first, then the rest in any
// order. It names everything that an apply would otherwise have to decide: IDs, numbers of topics,
// what is forgotten, whose a trimmed event was.
type Commit struct {
	After store.ID // the last ID before this commit; a commit that follows another ID is void
	Last  store.ID // the last ID after it: After when it has no events

	Epoch  store.Epoch // that begins with its events; zero: none does
	Secret *[32]byte   // of the log, in the first commit of a sequence; else nil

	Topics []Topic    // new ones; their numbers follow those of the log without a gap
	Events []Event    // their IDs rise from After
	Trims  []Trim     // of each topic its oldest events first
	Keys   []Key      // each of a group of Events
	Forget []store.ID // the Firsts of idempotency keys that are forgotten, those of Keys among them
	Marks  []Mark     // a later one of the same name counts

	Deliveries []store.NamedDelivery // the same; one without a record goes

	Slots []Slot // that Events go into; a later one of the same subject counts

	Epochs []Began // that began earlier, in a log that is restored; they rise

	State *StatePart // for logs that are not there yet; nil: of nothing else
}

// StatePart is an entry of what a log needs of its sequence from below a floor: a part, or, with Closing, the end of
// all parts. To a log that follows it changes nothing. docs/adr/0028 has the reasons.
type StatePart struct {
	Writing [8]byte // drawn by whoever writes this state
	Index   uint32  // of the part, from 0; of the end, how many parts there are
	Part    []byte  // of a commit that a new log applies
	Closing *Closing
}

// Closing says how a new log begins with a state.
type Closing struct {
	From  store.Place // the first part is after it
	Floor store.Place // up to which the sequence may be purged, and at which the log then is
	Head  store.ID    // the last ID at the floor
}

// Began is an epoch, none if it is empty, that what was minted after an ID bears.
type Began struct {
	After store.ID
	Epoch []byte
}

// Slot is what is in a slot of a reserved topic from then on; a zero ID: nothing.
type Slot struct {
	Topic   uint32
	Subject string // as store.Draft.Slot has it
	ID      store.ID
}

// Topic is a new topic.
type Topic struct {
	Number uint32
	Owner  Owner // who made it
	Name   string
}

// Event is an event to store. The commit borrows the draft.
type Event struct {
	ID    store.ID
	Topic uint32
	*store.Draft
}

// Trim deletes one event, whether its record can be read or not, and moves its topic's mark to it.
type Trim struct {
	Topic uint32
	ID    store.ID
}

// Mark sets a read mark, or deletes it when it has no topics.
type Mark struct {
	Subject, Name string
	store.Mark
}

// Deletes reports whether the mark goes.
func (m *Mark) Deletes() bool { return m.Topics.IsZero() }

// IsEmpty reports whether there is nothing to apply.
func (c *Commit) IsEmpty() bool {
	return !c.Stores() && len(c.Trims) == 0 && len(c.Marks) == 0 && len(c.Deliveries) == 0 &&
		len(c.Slots) == 0 && len(c.Epochs) == 0 && c.Secret == nil && c.State == nil
}

// Stores reports whether the commit stores events, or what else comes with events as a rule.
func (c *Commit) Stores() bool {
	return len(c.Events) > 0 || len(c.Topics) > 0 || len(c.Keys) > 0 || len(c.Forget) > 0 || c.Last != c.After
}

// Takes reports whether next, which follows c, can be joined to it. Trims come first in a commit, and
// may be of what c stores; an epoch begins at the start of one.
func (c *Commit) Takes(next *Commit) bool {
	return len(next.Trims) == 0 && next.Epoch == store.Epoch{} && next.Secret == nil &&
		c.State == nil && next.State == nil
}

// Join makes c and next, which it takes, one commit that leaves the same log. It borrows next.
func (c *Commit) Join(next *Commit) {
	c.Last = next.Last
	c.Topics = append(c.Topics, next.Topics...)
	c.Events = append(c.Events, next.Events...)
	c.Keys = append(c.Keys, next.Keys...)
	c.Forget = append(c.Forget, next.Forget...)
	c.Marks = append(c.Marks, next.Marks...)
	c.Deliveries = append(c.Deliveries, next.Deliveries...)
	c.Slots = append(c.Slots, next.Slots...)
	c.Epochs = append(c.Epochs, next.Epochs...)
}

// reset empties c for the next decision, and keeps its memory.
func (c *Commit) reset() {
	clear(c.Topics)
	clear(c.Events)
	clear(c.Marks)
	clear(c.Deliveries)
	clear(c.Slots)
	*c = Commit{Topics: c.Topics[:0], Events: c.Events[:0], Trims: c.Trims[:0],
		Keys: c.Keys[:0], Forget: c.Forget[:0], Marks: c.Marks[:0], Deliveries: c.Deliveries[:0],
		Slots: c.Slots[:0]}
}
