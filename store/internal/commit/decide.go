package commit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tidings/store"
)

// Decider decides one commit at a time. The zero Decider is ready; it belongs to one goroutine.
type Decider struct {
	view  View
	state State // as it was before this commit

	commit   Commit
	outcomes []Outcome

	// What the requests so far have decided, on top of the view.
	last    store.ID // the last one assigned
	minted  bool
	created map[string]uint32 // new topics
	ended   map[uint32]store.ID
	trimmed map[uint32]store.ID
	keys    map[Hash]Key
	marks   map[[2]string]markState
	slots   map[Slot]store.ID // by those without an ID
	added   int               // marks
	addedBy map[Owner]own
	crowded int // keys

	// Of the request being decided.
	numbers []uint32 // topics of the drafts to store; unknown for new ones
	names   []string // of new topics
	twins   [][2]int // a group, and an earlier one with the same key
	own     map[Hash]int
}

// own is what an owner has in addition.
type own struct{ topics, marks int }

type markState struct {
	store.Mark
	exists bool
}

// unknown is the number of a topic that has yet to be created.
const unknown = math.MaxUint32

// Decide makes one commit of the requests, in their order, except that trims come first, so that a
// replay can report whether its events are gone. A refused request does not affect the others. The
// Decider reuses the commit and the outcomes at its next call, but not what they point to.
//
// It may be called again for the same requests, if the commit found no room or another came first.
func (d *Decider) Decide(v View, requests []*Request) (*Commit, []Outcome) {
	d.begin(v, len(requests))
	for i, r := range requests {
		d.outcomes[i].Trimmed = d.trim(r.trims)
	}
	for i, r := range requests {
		o := &d.outcomes[i]
		switch {
		case r.mark != nil:
			o.Mark, o.Err = d.setMark(r.mark)
		case len(r.groups) > 0:
			o.Results, o.Err = d.append(r)
		default:
			o.Err = d.setDeliveries(r.deliveries)
		}
	}
	d.forget()
	d.view = nil
	return &d.commit, d.outcomes
}

// Release drops what the last commit and its outcomes point to, such as the data of events.
func (d *Decider) Release() {
	d.commit.reset()
	clear(d.outcomes)
}

func (d *Decider) begin(v View, requests int) {
	if d.created == nil {
		d.created, d.ended = make(map[string]uint32), make(map[uint32]store.ID)
		d.trimmed, d.keys = make(map[uint32]store.ID), make(map[Hash]Key)
		d.marks, d.own = make(map[[2]string]markState), make(map[Hash]int)
		d.addedBy, d.slots = make(map[Owner]own), make(map[Slot]store.ID)
	}
	clear(d.created)
	clear(d.ended)
	clear(d.trimmed)
	clear(d.keys)
	clear(d.marks)
	clear(d.slots)
	clear(d.addedBy)
	clear(d.outcomes)
	d.outcomes = append(d.outcomes[:0], make([]Outcome, requests)...)
	d.view, d.state, d.minted, d.added, d.crowded = v, v.State(), false, 0, 0
	d.last = d.state.Last
	d.commit.reset()
	d.commit.After, d.commit.Last = d.last, d.last
}

// trim takes the events that are not trimmed yet, and returns how many. The trimmed events of a topic
// are a prefix of it, so its trimmed ID decides.
func (d *Decider) trim(trims []Trim) (taken int) {
	for _, t := range trims {
		mark, ok := d.trimmed[t.Topic]
		if !ok {
			mark = d.view.Trimmed(t.Topic)
		}
		if mark.Before(t.ID) {
			d.trimmed[t.Topic] = t.ID
			d.commit.Trims = append(d.commit.Trims, t)
			taken++
		}
	}
	return taken
}

func (d *Decider) retained(id store.ID) bool {
	gone := func(t Trim) bool { return t.ID == id }
	return !slices.ContainsFunc(d.commit.Trims, gone) && d.view.Retained(id)
}

// append decides all groups of a request before it stores the first: all or none.
func (d *Decider) append(r *Request) ([]store.Result, error) {
	d.numbers, d.names, d.twins = d.numbers[:0], d.names[:0], d.twins[:0]
	clear(d.own)
	results := make([]store.Result, len(r.groups))
	fresh := 0 // events
	for i := range r.groups {
		known, err := d.replay(r, i, results)
		if err == nil && !known {
			known, err = d.lookUp(r.groups[i].Drafts, &results[i])
		}
		if err != nil {
			return nil, ofGroup(i, len(r.groups), err)
		}
		if !known {
			fresh += len(r.groups[i].Drafts)
		}
	}
	if fresh > 0 {
		if err := d.condition(r); err != nil {
			return nil, err
		}
		if err := d.room(r, fresh); err != nil {
			return nil, err
		}
		d.store(r, results, make([]store.ID, fresh))
	}
	for _, t := range d.twins {
		results[t[0]] = results[t[1]]
		results[t[0]].Replayed = true
	}
	return results, nil
}

// replay looks up the key of a group: among the earlier groups of its own request, which are stored with
// it, and among all stored keys.
func (d *Decider) replay(r *Request, i int, results []store.Result) (known bool, err error) {
	key := r.key(i)
	if key == nil {
		return false, nil
	}
	if first, ok := d.own[key.Hash]; ok {
		if r.keys[first].Fingerprint != key.Fingerprint {
			return false, store.ErrKeyMismatch
		}
		d.twins = append(d.twins, [2]int{i, first})
		return true, nil
	}
	if len(r.groups) > 1 {
		d.own[key.Hash] = i
	}
	old, ok := d.keys[key.Hash]
	if !ok {
		if old, ok = d.view.Key(key.Hash); !ok {
			old, ok = d.view.Key(key.before)
		}
		if !ok || d.expired(old.First) {
			return false, nil
		}
	}
	if old.Fingerprint != key.Fingerprint {
		return false, store.ErrKeyMismatch
	}
	results[i] = d.result(old)
	return true, nil
}

// result returns the result of a group that was stored earlier, in this commit or before it.
func (d *Decider) result(k Key) store.Result {
	result := store.Result{IDs: make([]store.ID, k.Count), Replayed: true}
	for i, id := 0, k.First; i < len(result.IDs); i++ {
		result.IDs[i] = id
		inCommit := d.commit.After.Before(id)
		result.Trimmed = result.Trimmed || !inCommit && !d.retained(id)
		id, _ = id.Next()
	}
	return result
}

// lookUp looks up the topics of a group's drafts. Ending a topic again replays its end.
func (d *Decider) lookUp(drafts []store.Draft, result *store.Result) (replayed bool, err error) {
	for i := range drafts {
		topic, ok := d.topic(drafts[i].Topic)
		switch {
		case !ok:
			d.names = append(d.names, drafts[i].Topic)
			d.numbers = append(d.numbers, unknown)
		case topic.Ended.IsZero():
			d.numbers = append(d.numbers, topic.Number)
		case drafts[i].Type == store.TypeEnd:
			inCommit := d.commit.After.Before(topic.Ended)
			*result = store.Result{IDs: []store.ID{topic.Ended}, Replayed: true,
				Trimmed: !inCommit && !d.retained(topic.Ended)}
			return true, nil
		default:
			return false, fmt.Errorf("%w: %s", store.ErrEnded, drafts[i].Topic)
		}
	}
	return false, nil
}

func (d *Decider) topic(name string) (TopicState, bool) {
	t, ok := d.view.Topic(name)
	if !ok {
		t.Number, ok = d.created[name]
	}
	if end, ended := d.ended[t.Number]; ok && ended {
		t.Ended = end
	}
	return t, ok
}

// condition refuses drafts that must follow another event than the newest of their topic, which may be
// one of this commit.
func (d *Decider) condition(r *Request) error {
	if r.newest == nil {
		return nil
	}
	topic, known := d.topic(r.topic())
	switch {
	case known && r.slot != "":
		topic.Newest = d.slot(topic.Number, r.slot)
	case known:
		for _, e := range slices.Backward(d.commit.Events) {
			if e.Topic == topic.Number {
				topic.Newest = e.ID
				break
			}
		}
	}
	if topic.Newest != *r.newest {
		return &store.ConditionError{Newest: topic.Newest}
	}
	return nil
}

// slot returns what is in a slot, which may be an event of this commit.
func (d *Decider) slot(topic uint32, subject string) store.ID {
	if id, ok := d.slots[Slot{Topic: topic, Subject: subject}]; ok {
		return id
	}
	return d.view.Slot(topic, subject)
}

// fill puts an event into its slot, or empties the slot.
func (d *Decider) fill(topic uint32, id store.ID, draft *store.Draft) {
	subject, ok := draft.Slot()
	switch {
	case !ok:
		return
	case draft.Closes:
		id = store.ID{}
	}
	d.slots[Slot{Topic: topic, Subject: subject}] = id
	d.commit.Slots = append(d.commit.Slots, Slot{topic, subject, id})
}

// room refuses what the log has no room for, and numbers the new topics.
func (d *Decider) room(r *Request, events int) error {
	if d.state.NoRoom != nil {
		return d.state.NoRoom
	}
	slices.Sort(d.names)
	d.names = slices.Compact(d.names)
	topics, had := d.state.Topics+len(d.commit.Topics), d.addedBy[r.owner]
	if n := len(d.names); n > 0 {
		had.topics += n
		shares, left := d.view.Shares(), d.state.MaxTopics-(topics-d.state.Bare)-n
		own := shares.Topics(r.owner) + had.topics
		if !mayHave(r.owner, own-shares.Bare(r.owner), left) ||
			!mayHave(r.owner, own, left+d.state.MaxTopics-d.state.Bare) {
			return fmt.Errorf("%w: at most %d%s", store.ErrTopicLimit, d.state.MaxTopics, ofShare)
		}
	}
	if err := d.ids(r, events); err != nil {
		return err
	}
	d.addedBy[r.owner] = had
	for i, name := range d.names {
		t := Topic{uint32(topics + i), r.owner, name}
		d.created[name] = t.Number
		d.commit.Topics = append(d.commit.Topics, t)
	}
	return nil
}

// ofShare is appended to a limit to state the other possible reason.
const ofShare = ", and per owner no more than remain for all others"

// mayHave reports whether an owner may have this much of something of which left then remains: no more
// than remains, so that later owners find room however many have taken their share. Owners without a
// name share it all.
func mayHave(o Owner, has, left int) bool { return left >= 0 && (o == Owner{} || has <= left) }

// ids ensures that there are IDs for this many events, and mints the first of a commit: the current
// time, the epoch and fresh entropy, or one above the last ID if that is higher. One rule serves clock
// changes and batches.
func (d *Decider) ids(r *Request, events int) error {
	if r.ids != nil {
		for i, last := 0, d.last; i < len(r.ids); i++ {
			if !last.Before(r.ids[i]) {
				return fmt.Errorf("%w event: its ID %s does not follow %s",
					store.ErrInvalid, r.ids[i], last)
			}
			last = r.ids[i]
		}
		return nil
	}
	if !d.minted {
		fresh, err := d.mint()
		if err != nil {
			return err
		}
		if d.last.Before(fresh) {
			d.last = fresh.Prev()
		}
		d.minted = true
	}
	const highest = math.MaxInt64 // the first half of store.MaxID
	if binary.BigEndian.Uint64(d.last[:8]) == highest &&
		binary.BigEndian.Uint64(d.last[8:]) > math.MaxUint64-uint64(events) {
		return errors.New("the last possible ID is used up")
	}
	return nil
}

// mint returns an ID of the current time. If that is not above the last ID, which is of another epoch, it
// returns one of the millisecond after the last: the ID that directly follows one of another epoch may
// have been minted in that epoch too, for an event that has been lost since.
func (d *Decider) mint() (store.ID, error) {
	fresh, err := d.state.Epoch.Mint(d.state.Now)
	if err != nil || d.last.Before(fresh) || d.last.Bears(d.state.Epoch) {
		return fresh, err
	}
	if later, err := d.state.Epoch.Mint(d.last.Time().Add(time.Millisecond)); err == nil {
		return later, nil
	}
	return fresh, nil // the last ID has the last possible millisecond
}

// store puts the new groups into the commit, under the IDs that follow. room holds the IDs of all groups.
func (d *Decider) store(r *Request, results []store.Result, room []store.ID) {
	at := 0 // in numbers
	for i := range r.groups {
		if results[i].Replayed || d.isTwin(i) {
			continue
		}
		drafts := r.groups[i].Drafts
		ids := room[:len(drafts):len(drafts)]
		room = room[len(drafts):]
		for j := range drafts {
			id, _ := d.last.Next()
			if r.ids != nil {
				id = r.ids[j]
			}
			number := d.numbers[at]
			if at++; number == unknown {
				number = d.created[drafts[j].Topic]
			}
			if drafts[j].Type == store.TypeEnd {
				d.ended[number] = id
			}
			if d.state.NewEpoch && len(d.commit.Events) == 0 && id.Bears(d.state.Epoch) {
				d.commit.Epoch = d.state.Epoch
			}
			d.commit.Events = append(d.commit.Events, Event{id, number, &drafts[j]})
			d.fill(number, id, &drafts[j])
			d.last, ids[j] = id, id
		}
		results[i].IDs, d.commit.Last = ids, d.last
		if key := r.key(i); key != nil {
			stored := Key{key.Hash, key.Fingerprint, ids[0], uint32(len(ids))}
			d.keys[key.Hash] = stored
			d.commit.Keys = append(d.commit.Keys, stored)
		}
	}
}

func (d *Decider) isTwin(group int) bool {
	_, found := slices.BinarySearchFunc(d.twins, group, func(t [2]int, group int) int {
		return t[0] - group
	})
	return found
}

// setDeliveries sets and deletes deliveries, unless one of them is not what Was requires.
func (d *Decider) setDeliveries(changes []store.NamedDelivery) error {
	for i := range changes {
		if c := &changes[i]; c.Was != nil && !bytes.Equal(c.Was, d.delivery(c.Name)) {
			return store.ErrWas
		}
	}
	d.commit.Deliveries = append(d.commit.Deliveries, changes...)
	return nil
}

// delivery returns the record of a delivery as this commit would leave it.
func (d *Decider) delivery(name string) []byte {
	for i := range slices.Backward(d.commit.Deliveries) {
		if c := &d.commit.Deliveries[i]; c.Name == name {
			return c.Record
		}
	}
	return d.view.Delivery(name)
}

// setMark moves a read mark forward, or deletes it. An unchanged mark costs no commit.
func (d *Decider) setMark(m *Mark) (*store.Mark, error) {
	name := [2]string{m.Subject, m.Name}
	old, ok := d.marks[name]
	if !ok {
		old.Mark, old.exists = d.view.Mark(m.Subject, m.Name)
	}
	switch {
	case m.Deletes() && !old.exists:
		return nil, store.ErrNotFound
	case !m.Deletes() && old.exists && m.ID.Before(old.ID):
		return &old.Mark, nil
	case !m.Deletes() && old.exists && m.ID == old.ID &&
		m.Topics.String() == old.Topics.String():
		return &old.Mark, nil // nothing to write
	}
	added := 0
	switch {
	case m.Deletes():
		added = -1
	case !old.exists:
		added = 1
	}
	owner := OwnerOf(m.Subject)
	had := d.addedBy[owner]
	had.marks += added
	if left := d.state.MaxMarks - d.state.Marks - d.added - added; added > 0 &&
		!mayHave(owner, d.view.Shares().Marks(owner)+had.marks, left) {
		return nil, fmt.Errorf("%w: at most %d%s", store.ErrMarkLimit, d.state.MaxMarks, ofShare)
	}
	d.addedBy[owner], d.added = had, d.added+added
	d.marks[name] = markState{m.Mark, !m.Deletes()}
	d.commit.Marks = append(d.commit.Marks, *m)
	return &m.Mark, nil
}
