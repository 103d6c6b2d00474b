package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"tidings/store"
)

// modelKey is a group stored under a key.
type modelKey struct {
	group store.Group
	ids   []store.ID
}

// AppendOnce implements store.Log. It has no queue, so it ignores ctx.
func (m *Model) AppendOnce(_ context.Context, groups []store.Group) ([]store.Result, error) {
	events := 0
	for i, g := range groups {
		if err := validate(g.Drafts); err != nil {
			return nil, ofGroup(i, groups, err)
		}
		events += len(g.Drafts)
	}
	if len(groups) == 0 {
		return nil, store.ErrInvalid
	}
	for _, g := range groups {
		if events > 1 && slices.ContainsFunc(g.Drafts, ends) {
			return nil, store.ErrInvalid
		}
	}
	if err := cmp.Or(aboutOneTopic(groups), aboutOneSlot(groups)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, store.ErrClosed
	}
	m.forget()
	// Add nothing before everything is known to fit.
	results := make([]store.Result, len(groups))
	keys, last := slices.Clone(m.keys), m.head
	var fresh []store.Event
	var stored []store.Draft // of fresh
	for i, g := range groups {
		known, err := m.known(keys, g, &results[i])
		if err != nil {
			return nil, ofGroup(i, groups, err)
		}
		if known {
			continue
		}
		for _, d := range g.Drafts {
			next, ok := last.Next()
			if !ok {
				return nil, store.ErrNoSpace
			}
			last = store.Later(m.mint(), next)
			if len(fresh) > 0 {
				last = next // consecutive within a commit
			}
			fresh, stored = append(fresh, committed(last, d)), append(stored, d)
			results[i].IDs = append(results[i].IDs, last)
		}
		if g.Key != "" {
			keys = append(keys, modelKey{clone(g), results[i].IDs})
		}
	}
	if newest := groups[0].Newest; newest != nil && len(fresh) > 0 {
		got := m.newest(fresh[0].Topic)
		if groups[0].Slot {
			got = m.slots[slotOf(stored[0])]
		}
		if got != *newest {
			return nil, &store.ConditionError{Newest: got}
		}
	}
	for i, e := range fresh {
		m.add(e)
		m.fill(e.ID, stored[i])
	}
	m.keys = keys
	m.forget()
	return results, nil
}

// slotOf returns the topic and the subject; without a subject there is no slot.
func slotOf(d store.Draft) (slot [2]string) {
	for _, a := range d.Attributes {
		if a.Name == "subject" && strings.HasPrefix(d.Topic, "$") {
			slot = [2]string{d.Topic, a.Value}
		}
	}
	return slot
}

func (m *Model) fill(id store.ID, d store.Draft) {
	if slot := slotOf(d); slot[1] == "" {
		return
	} else if m.slots[slot] = id; d.Closes {
		delete(m.slots, slot)
	}
}

// aboutOneSlot refuses a condition that is not about exactly one slot.
func aboutOneSlot(groups []store.Group) error {
	for _, g := range groups {
		for _, d := range g.Drafts {
			slot := slotOf(d)
			if groups[0].Slot && (groups[0].Newest == nil || slot[1] == "" || slot != slotOf(groups[0].Drafts[0])) ||
				d.Closes && slot[1] == "" || len(slot[1]) > store.MaxSlotBytes {
				return store.ErrInvalid
			}
		}
	}
	return nil
}

// aboutOneTopic refuses a condition on several topics.
func aboutOneTopic(groups []store.Group) error {
	topics := make(map[string]bool)
	for _, g := range groups {
		for _, d := range g.Drafts {
			topics[d.Topic] = true
		}
	}
	if groups[0].Newest != nil && len(topics) > 1 {
		return store.ErrInvalid
	}
	return nil
}

// known fills in the result of a group that need not be stored.
func (m *Model) known(keys []modelKey, g store.Group, result *store.Result) (bool, error) {
	for _, k := range keys {
		if g.Key == "" || k.group.Key != g.Key {
			continue
		}
		if !slices.EqualFunc(k.group.Drafts, g.Drafts, sameDraft) {
			return false, store.ErrKeyMismatch
		}
		*result = store.Result{IDs: slices.Clone(k.ids), Replayed: true}
		for _, id := range k.ids {
			// above the head: stored by this call
			result.Trimmed = result.Trimmed || !m.head.Before(id) && !m.retained(id)
		}
		return true, nil
	}
	for _, d := range g.Drafts {
		if end, ok := m.ended[d.Topic]; ok {
			if !ends(d) {
				return false, store.ErrEnded
			}
			*result = store.Result{IDs: []store.ID{end}, Replayed: true, Trimmed: !m.retained(end)}
			return true, nil
		}
	}
	return false, nil
}

// Ended implements store.Log.
func (m *Model) Ended(f store.Filter) (last store.ID, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range f.Patterns() {
		end, ok := m.ended[p] // a pattern with a wildcard is not a topic
		if !ok {
			return store.ID{}, false
		}
		last = store.Later(last, end)
	}
	return last, len(f.Patterns()) > 0
}

// newest returns the newest event that the topic ever had.
func (m *Model) newest(topic string) store.ID {
	for _, e := range slices.Backward(m.events) {
		if e.Topic == topic {
			return e.ID
		}
	}
	return m.trimmed[topic]
}

func (m *Model) retained(id store.ID) bool {
	return slices.ContainsFunc(m.events, func(e store.Event) bool { return e.ID == id })
}

// forget drops the keys beyond the limits.
func (m *Model) forget() {
	now := m.opts.Now()
	m.keys = slices.DeleteFunc(m.keys, func(k modelKey) bool {
		return now.Sub(k.ids[0].Time()) >= m.opts.KeyWindow
	})
	for len(m.keys) > m.opts.MaxKeys {
		m.forgetCrowd()
	}
}

// forgetCrowd drops the oldest key of the owner with most keys; among equals the oldest.
func (m *Model) forgetCrowd() {
	held := make(map[string]int)
	for _, k := range m.keys {
		held[k.group.Owner]++
	}
	most := slices.Max(slices.Collect(maps.Values(held)))
	i := slices.IndexFunc(m.keys, func(k modelKey) bool { return held[k.group.Owner] == most })
	m.keys = slices.Delete(m.keys, i, i+1)
}

func ends(d store.Draft) bool { return d.Type == store.TypeEnd }

func sameDraft(a, b store.Draft) bool {
	return a.Topic == b.Topic && a.Type == b.Type && a.ContentType == b.ContentType &&
		string(a.Data) == string(b.Data)
}

func clone(g store.Group) store.Group {
	drafts := slices.Clone(g.Drafts)
	for i := range drafts {
		drafts[i].Data = slices.Clone(drafts[i].Data)
	}
	return store.Group{Drafts: drafts, Key: g.Key, Owner: g.Owner}
}

func ofGroup(i int, groups []store.Group, err error) error {
	if len(groups) == 1 {
		return err
	}
	return &store.GroupError{Index: i, Err: err}
}
