package e2e

import (
	"cmp"
	"slices"

	"tidings/store"
)

// Message is the data of every event of a History. It identifies the publish that an event comes from, whatever ID it
// got.
type Message struct {
	Topic     string `json:"topic"`
	Publisher int    `json:"publisher"`
	Seq       int    `json:"seq"` // increases with each publish of its publisher
}

// Outcome is what a publisher knows of its publish.
type Outcome int

const (
	Unknown   Outcome = iota // no answer, or one that says so: the event may be in the log, once
	Stored                   // 201: the event is on disk
	NotStored                // refused: the event is not in the log and never will be
)

// Attempt is one publish.
type Attempt struct {
	Message
	Outcome Outcome
	ID      store.ID // when Stored
}

// Entry is an event of the log, as a reader sees it.
type Entry struct {
	ID store.ID
	Message
}

// Item is what a connection received: an event or, if Gap is set, a gap.
type Item struct {
	Entry
	Gap *Gap
}

// Gap is a tidings.gap event.
type Gap struct {
	Reason  string   `json:"reason"`
	Through store.ID `json:"through"`
}

// Connection is one connection of a consumer. After is the position it was to begin at: the cursor it sent or, if it
// sent none, the one that the open event named.
type Connection struct {
	After store.ID
	Items []Item
	Live  bool // it got tidings.live: it had caught up
}

// History is what a harness did and saw. It must end with every consumer caught up and no more publishes, and Log must
// be read after that.
type History struct {
	Attempts  []Attempt   // those of one publisher in order
	Log       []Entry     // what the log holds at the end, in the order it was read
	Trimmed   []Entry     // what was deleted on purpose, before the consumers connected last
	Consumers []*Consumer // with what they saw
}

// between returns the entries that match the consumer's filter and lie in (after, through]. The entries must be sorted
// by ID.
func (c *Consumer) between(entries []Entry, after, through store.ID) []Entry {
	position := func(id store.ID) int {
		i, found := slices.BinarySearchFunc(entries, id, func(e Entry, id store.ID) int {
			return e.ID.Compare(id)
		})
		if found {
			i++
		}
		return i
	}
	from, to := position(after), position(through)
	var out []Entry
	for _, e := range entries[from:max(from, to)] {
		if c.Filter.Match(e.Topic) {
			out = append(out, e)
		}
	}
	return out
}

// start returns where the consumer began, or false if it never got that far.
func (c *Consumer) start() (store.ID, bool) {
	if len(c.Connections) == 0 {
		return store.ID{}, false
	}
	return c.Connections[0].After, true
}

// entries returns the events that the consumer saw, over all its connections.
func (c *Consumer) entries() []Entry {
	var out []Entry
	for i := range c.Connections {
		out = append(out, c.Connections[i].entries()...)
	}
	return out
}

func (c *Connection) entries() []Entry {
	var out []Entry
	for _, item := range c.Items {
		if item.Gap == nil {
			out = append(out, item.Entry)
		}
	}
	return out
}

// sorted returns the entries by ID. Only Ordered checks the order they were read in.
func sorted(entries []Entry) []Entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Publisher, b.Publisher),
			cmp.Compare(a.Seq, b.Seq))
	})
}
