// Package commit defines what a log commits and how that is decided: admission, without an engine.
//
// A [Commit] is a value. [Decider.Decide] makes one from the waiting requests and a [View] of the log:
// what is stored, under which IDs, what is refused and why. It writes nothing. An engine then applies
// the commit, all of it or none, and decides nothing:
//
//  1. Decide, with no write transaction open.
//  2. Apply: begin, write, sync.
//  3. Show what is durable to readers. Only then answer the requests.
//
// A commit of another node is applied by the same code. If one comes between 1 and 2, After is no longer
// the last ID and the requests are decided again. Encoded ([Commit.AppendBinary]), a commit can travel;
// docs/FORMAT.md draws its bytes.
package commit

import "tidings/store"

// Commit is one change of the log, all or nothing. An engine applies Trims first, then the rest in any
// order. It states everything that an apply would otherwise have to decide: IDs, topic numbers, which
// keys are forgotten, the topic of a trimmed event.
type Commit struct {
	After store.ID // the last ID before this commit; a commit that follows another ID is void
	Last  store.ID // the last ID after it: After when it has no events

	Epoch  store.Epoch // begins with its events; zero: none begins
	Secret *[32]byte   // of the log, in the first commit of a sequence; else nil

	Topics []Topic    // new ones; their numbers follow those of the log without a gap
	Events []Event    // their IDs rise from After
	Trims  []Trim     // each topic's oldest events first
	Keys   []Key      // each of a group of Events
	Forget []store.ID // the Firsts of idempotency keys to forget, possibly some of Keys
	Marks  []Mark     // the last of a name counts

	Deliveries []store.NamedDelivery // the last of a name counts; one without a record is deleted

	Slots []Slot // that Events go into; the last of a subject counts

	Epochs []Began // that began earlier, in a log that is restored; in rising order

	State *StatePart // for new mirrors; if set, the commit has nothing else
}

// StatePart is an entry of the state that a new log needs from below the floor of its sequence: a part or, with
// Closing, the end of all parts. To a log that follows, it changes nothing. docs/adr/0028 has the reasons.
type StatePart struct {
	Writing [8]byte // drawn by the writer of this state
	Index   uint32  // of the part, from 0; in the end, the number of parts
	Part    []byte  // of a commit that a new log applies
	Closing *Closing
}

// Closing says how a new log begins with a state.
type Closing struct {
	From  store.Place // the first part is after it
	Floor store.Place // the sequence may be purged up to here, where the new log then is
	Head  store.ID    // the last ID at the floor
}

// Began is an epoch, none if empty, which the IDs minted after After bear.
type Began struct {
	After store.ID
	Epoch []byte
}

// Slot is the event in a slot of a reserved topic from then on; a zero ID: none.
type Slot struct {
	Topic   uint32
	Subject string // as store.Draft.Slot returns it
	ID      store.ID
}

// Topic is a new topic.
type Topic struct {
	Number uint32
	Owner  Owner // who created it
	Name   string
}

// Event is an event to be stored. The commit borrows the draft.
type Event struct {
	ID    store.ID
	Topic uint32
	*store.Draft
}

// Trim deletes one event, whether or not its record can be read, and moves its topic's trimmed ID to it.
type Trim struct {
	Topic uint32
	ID    store.ID
}

// Mark sets a read mark, or deletes it if it has no topics.
type Mark struct {
	Subject, Name string
	store.Mark
}

// Deletes reports whether the mark is deleted.
func (m *Mark) Deletes() bool { return m.Topics.IsZero() }

// IsEmpty reports whether there is nothing to apply.
func (c *Commit) IsEmpty() bool {
	return !c.Stores() && len(c.Trims) == 0 && len(c.Marks) == 0 && len(c.Deliveries) == 0 &&
		len(c.Slots) == 0 && len(c.Epochs) == 0 && c.Secret == nil && c.State == nil
}

// Stores reports whether the commit stores events, or what usually comes with events.
func (c *Commit) Stores() bool {
	return len(c.Events) > 0 || len(c.Topics) > 0 || len(c.Keys) > 0 || len(c.Forget) > 0 || c.Last != c.After
}

// Takes reports whether next, which follows c, can be joined to it. Trims come first in a commit, but
// those of next may delete what c stores; an epoch begins at the start of a commit.
func (c *Commit) Takes(next *Commit) bool {
	return len(next.Trims) == 0 && next.Epoch == store.Epoch{} && next.Secret == nil &&
		c.State == nil && next.State == nil
}

// Join merges next, which c takes, into c: one commit with the same result. It borrows next.
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

// reset empties c for the next decision and keeps its memory.
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
