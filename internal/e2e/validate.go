package e2e

import (
	"errors"
	"fmt"
	"slices"

	"tidings/store"
)

// Validator is one invariant: Check returns what in a History breaks it.
type Validator struct {
	Name  string
	Check func(*History) error
}

// Validators returns all invariants.
func Validators() []Validator {
	return []Validator{
		{"I1 durable", Durable},
		{"I2 no dirty read", NoDirtyRead},
		{"I3 unique", Unique},
		{"I4 ordered", Ordered},
		{"I5 gapless", Gapless},
		{"I6 gap signalled", GapSignalled},
		{"I7 resumable", Resumable},
		{"I12 honest outcome", Honest},
	}
}

// Validate checks all invariants and names each that is broken.
func Validate(h *History) error {
	var all []error
	for _, v := range Validators() {
		if err := v.Check(h); err != nil {
			all = append(all, fmt.Errorf("%s: %w", v.Name, err))
		}
	}
	return errors.Join(all...)
}

// faults collects the findings of a validator. It keeps the first few: one bug breaks many events.
type faults struct {
	first []error
	count int
}

func (f *faults) add(format string, args ...any) {
	if f.count++; f.count <= 5 {
		f.first = append(f.first, fmt.Errorf(format, args...))
	}
}

func (f *faults) err() error {
	if f.count == 0 {
		return nil
	}
	return fmt.Errorf("%d faults, the first: %w", f.count, errors.Join(f.first...))
}

// Durable is I1: every acknowledged event is in the log, with the ID and the data that were acknowledged, unless it was
// trimmed.
func Durable(h *History) error {
	var f faults
	held := h.everHeld()
	for _, a := range h.Attempts {
		if a.Outcome != Stored {
			continue
		}
		switch got, ok := held[a.ID]; {
		case !ok:
			f.add("%v was acknowledged as %s and is not in the log", a.Message, a.ID)
		case got != a.Message:
			f.add("%v was acknowledged as %s, where the log holds %v", a.Message, a.ID, got)
		}
	}
	return f.err()
}

// NoDirtyRead is I2: nothing was delivered that the log does not hold, unless it was trimmed.
func NoDirtyRead(h *History) error {
	var f faults
	held := h.everHeld()
	for _, c := range h.Consumers {
		for _, e := range c.entries() {
			if got, ok := held[e.ID]; !ok || got != e.Message {
				f.add("%s got %v as %s, which the log does not hold", c.Name, e.Message, e.ID)
			}
		}
	}
	return f.err()
}

func (h *History) everHeld() map[store.ID]Message {
	held := make(map[store.ID]Message, len(h.Log)+len(h.Trimmed))
	for _, e := range slices.Concat(h.Log, h.Trimmed) {
		held[e.ID] = e.Message
	}
	return held
}

// Unique is I3: no event occurs twice, neither in the log, even if its publisher does not know the outcome, nor at one
// consumer over all its connections.
func Unique(h *History) error {
	var f faults
	findTwice(&f, "the log", slices.Concat(h.Log, h.Trimmed))
	for _, c := range h.Consumers {
		findTwice(&f, c.Name, c.entries())
	}
	return f.err()
}

func findTwice(f *faults, who string, entries []Entry) {
	ids, messages := make(map[store.ID]bool, len(entries)), make(map[Message]bool, len(entries))
	for _, e := range entries {
		if ids[e.ID] || messages[e.Message] {
			f.add("%s has %v twice, as %s the second time", who, e.Message, e.ID)
		}
		ids[e.ID], messages[e.Message] = true, true
	}
}

// Ordered is I4: one total order. IDs increase over the log and over each consumer's history, and the log has each
// publisher's events in the order they were published in.
func Ordered(h *History) error {
	var f faults
	findFalling(&f, "the log", h.Log)
	latest := make(map[int]Message)
	for _, e := range h.Log {
		if last, ok := latest[e.Publisher]; ok && e.Seq <= last.Seq {
			f.add("the log has %v after %v", e.Message, last)
		}
		latest[e.Publisher] = e.Message
	}
	for _, c := range h.Consumers {
		findFalling(&f, c.Name, c.entries())
	}
	return f.err()
}

func findFalling(f *faults, who string, entries []Entry) {
	for i := 1; i < len(entries); i++ {
		if last := entries[i-1]; !last.ID.Before(entries[i].ID) {
			f.add("%s has %s after %s", who, entries[i].ID, last.ID)
		}
	}
}

// Gapless is I5: a consumer that saw an event has seen every matching event of the log between its start and that
// event.
func Gapless(h *History) error {
	var f faults
	log := sorted(h.Log)
	for _, c := range h.Consumers {
		start, ok := c.start()
		seen, last := make(map[store.ID]bool), start
		for _, e := range c.entries() {
			seen[e.ID] = true
			if last.Before(e.ID) {
				last = e.ID
			}
		}
		if !ok {
			continue
		}
		for _, e := range c.between(log, start, last) {
			if !seen[e.ID] {
				f.add("%s never got %s %v, though it got %s", c.Name, e.ID, e.Message, last)
			}
		}
	}
	return f.err()
}

// Honest is I12: an event that was refused as not stored is not in the log.
func Honest(h *History) error {
	var f faults
	held := make(map[Message]store.ID)
	for _, e := range slices.Concat(h.Log, h.Trimmed) {
		held[e.Message] = e.ID
	}
	for _, a := range h.Attempts {
		if id, ok := held[a.Message]; ok && a.Outcome == NotStored {
			f.add("%v was refused as not stored and is in the log as %s", a.Message, id)
		}
	}
	return f.err()
}
