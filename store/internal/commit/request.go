package commit

import (
	"fmt"
	"slices"
	"strings"

	"tidings/store"
)

// Request is one call that waits for a commit: groups to append, events to trim, a read mark to set or
// delete, or deliveries to set or delete. The functions below make one and check what can be checked
// without the log. It is immutable: it may be decided more than once.
type Request struct {
	groups []store.Group
	keys   []keyed    // of groups, at the same indexes; nil if no group has a key
	ids    []store.ID // of the drafts of the only group, in an import; else nil
	owner  Owner      // also of new topics
	newest *store.ID  // what the newest event of the only topic must be; nil: anything
	slot   string     // newest is about this slot of the topic; "": about the topic
	trims  []Trim
	mark   *Mark

	deliveries []store.NamedDelivery
}

// Outcome is the result of a Request, once the commit is durable. The caller owns it.
type Outcome struct {
	Err     error          // nothing of the request is in the commit
	Results []store.Result // of its groups
	Trimmed int            // how many of its events to trim still existed
	Mark    *store.Mark    // as it is then; nil unless the request sets one
}

// Append returns a request to store the groups, all or none. It borrows them until it is decided for the
// last time. The error is ErrInvalid, in a GroupError if it is about one of several groups.
func Append(groups []store.Group) (Request, error) {
	if len(groups) == 0 {
		return Request{}, fmt.Errorf("%w batch: at least one event", store.ErrInvalid)
	}
	r := Request{groups: groups, owner: OwnerOf(groups[0].Owner), newest: groups[0].Newest}
	var digests *digester
	for i := range groups {
		g := &groups[i]
		if err := validate(g, len(groups)); err != nil {
			return Request{}, ofGroup(i, len(groups), err)
		}
		if g.Key != "" {
			if r.keys == nil {
				r.keys, digests = make([]keyed, len(groups)), newDigester()
			}
			r.keys[i] = digests.digest(g)
		}
	}
	return r, r.checkCondition()
}

// checkCondition refuses a condition that is not about one topic or one slot.
func (r *Request) checkCondition() error {
	if ofSlot := r.groups[0].Slot; r.newest == nil {
		if ofSlot {
			return fmt.Errorf("%w condition: it does not name the slot's event", store.ErrInvalid)
		}
		return nil
	} else if ofSlot {
		r.slot, _ = r.groups[0].Drafts[0].Slot()
		for d := range r.Drafts {
			if slot, ok := d.Slot(); !ok || slot != r.slot {
				return fmt.Errorf("%w condition: it covers one slot", store.ErrInvalid)
			}
		}
	}
	topic := r.topic()
	for d := range r.Drafts {
		if d.Topic != topic {
			return fmt.Errorf("%w condition: it covers one topic, but the batch has %s and %s",
				store.ErrInvalid, topic, d.Topic)
		}
	}
	return nil
}

// topic returns the topic of the first draft.
func (r *Request) topic() string { return r.groups[0].Drafts[0].Topic }

func validate(g *store.Group, groups int) error {
	if len(g.Drafts) == 0 {
		return fmt.Errorf("%w batch: at least one event", store.ErrInvalid)
	}
	for i := range g.Drafts {
		d := &g.Drafts[i]
		err := d.Validate()
		if err == nil && d.Type == store.TypeEnd && (groups > 1 || len(g.Drafts) > 1) {
			err = fmt.Errorf("%w batch: an event that ends its topic comes alone",
				store.ErrInvalid)
		}
		if err != nil && len(g.Drafts) > 1 {
			err = fmt.Errorf("event %d of %d: %w", i+1, len(g.Drafts), err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Import is Append under given IDs, one for each draft.
func Import(drafts []store.Draft, ids []store.ID) (Request, error) {
	r, err := Append([]store.Group{{Drafts: drafts}})
	r.ids = ids
	return r, err
}

// Delete returns a request to trim events: of each topic its oldest, in order. It borrows the slice.
func Delete(trims []Trim) Request { return Request{trims: trims} }

// SetMark returns a request to move a read mark, which never moves back. Errors: ErrInvalid.
func SetMark(subject, name string, mark store.Mark) (Request, error) {
	if err := CheckMark(subject, name); err != nil {
		return Request{}, err
	}
	if mark.Topics.IsZero() {
		return Request{}, fmt.Errorf("%w mark: at least one topic", store.ErrInvalid)
	}
	return Request{owner: OwnerOf(subject), mark: &Mark{subject, name, mark}}, nil
}

// DeleteMark returns a request to delete a read mark. Errors: ErrInvalid.
func DeleteMark(subject, name string) (Request, error) {
	if err := CheckMark(subject, name); err != nil {
		return Request{}, err
	}
	return Request{owner: OwnerOf(subject), mark: &Mark{Subject: subject, Name: name}}, nil
}

// CheckMark returns ErrInvalid if no mark can have this subject and name.
func CheckMark(subject, name string) error {
	if name == "" || len(name) > store.MaxMarkName || len(subject) > store.MaxMarkSubject ||
		strings.Contains(subject, "\x00") || strings.Contains(name, "\x00") {
		return fmt.Errorf("%w mark name: 1 to %d bytes without NUL", store.ErrInvalid,
			store.MaxMarkName)
	}
	return nil
}

// SetDeliveries returns a request to set deliveries and to delete those without a record. It borrows the
// slice. Errors: ErrInvalid.
func SetDeliveries(changes []store.NamedDelivery) (Request, error) {
	for i := range changes {
		d := &changes[i]
		if d.Name == "" || len(d.Name) > store.MaxDeliveryName {
			return Request{}, fmt.Errorf("%w delivery name: 1 to %d bytes", store.ErrInvalid,
				store.MaxDeliveryName)
		}
		if len(d.Record) > store.MaxDeliveryRecord {
			return Request{}, fmt.Errorf("%w delivery: a record of at most %d bytes, got %d",
				store.ErrInvalid, store.MaxDeliveryRecord, len(d.Record))
		}
	}
	return Request{deliveries: changes}, nil
}

// Owner returns the owner of the request; zero for an administrator's or the server's own.
func (r *Request) Owner() Owner { return r.owner }

// Imports reports whether the request stores events under given IDs.
func (r *Request) Imports() bool { return r.ids != nil }

// HasKey reports whether one of the request's keys is among these.
func (r *Request) HasKey(hashes map[Hash]bool) bool {
	return slices.ContainsFunc(r.keys, func(k keyed) bool { return hashes[k.Hash] })
}

// Trims returns the number of events to trim.
func (r *Request) Trims() int { return len(r.trims) }

// Drafts yields the events to store.
func (r *Request) Drafts(yield func(*store.Draft) bool) {
	for i := range r.groups {
		for j := range r.groups[i].Drafts {
			if !yield(&r.groups[i].Drafts[j]) {
				return
			}
		}
	}
}

// key returns the digest of the group's key, nil if it has none.
func (r *Request) key(group int) *keyed {
	if r.groups[group].Key == "" {
		return nil
	}
	return &r.keys[group]
}

func ofGroup(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return &store.GroupError{Index: i, Err: err}
}
