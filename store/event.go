package store

import (
	"fmt"
	"time"
)

// Event is a committed event. It is immutable: its holder may read it for any length of time and must
// not write to Data.
type Event struct {
	ID          ID
	Topic       string
	Type        string // never empty; "message" when the publisher named none
	ContentType string // media type of Data, with its parameters; "" when there is none
	Attributes  []Attribute
	Data        []byte // as published, byte for byte
}

// Time is when the event was committed: the time in its ID.
func (e *Event) Time() time.Time { return e.ID.Time() }

// Size is the size of the data and the attributes, in bytes.
func (e *Event) Size() int { return size(e.Data, e.Attributes) }

func size(data []byte, attributes []Attribute) int {
	n := len(data)
	for _, a := range attributes {
		n += len(a.Name) + len(a.Value)
	}
	return n
}

// Draft is an event before it has an ID. The log copies what it keeps; a Draft must not change
// while AppendOnce runs.
type Draft struct {
	Topic       string
	Type        string // "" means DefaultType
	ContentType string
	Attributes  []Attribute
	Data        []byte
	Closes      bool // empties its slot, which it must have; not stored, and no key covers it
}

// Size is the size of the data and the attributes, in bytes.
func (d *Draft) Size() int { return size(d.Data, d.Attributes) }

// Attribute is one CloudEvents context attribute of an event that was published with some, in the
// publisher's order.
type Attribute struct{ Name, Value string }

// DefaultType is the type of an event whose publisher named none. It is EventSource's default event
// name (WHATWG HTML §9.2.6), so that onmessage receives it.
const DefaultType = "message"

// TypeEnd is the type of the event that ends its topic: nothing can be appended after it.
const TypeEnd = "tidings.end"

// MaxNameBytes bounds a topic, a type, a content type and an attribute's name.
const MaxNameBytes = 255

// Validate returns an ErrInvalid that states the rule when the topic is invalid or a name is too long
// for the layout of a record. Which types are allowed is decided by internal/wire.
func (d *Draft) Validate() error {
	if err := ValidateTopic(d.Topic); err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{{"type", d.Type},
		{"content type", d.ContentType}} {
		if len(f.value) > MaxNameBytes {
			return fmt.Errorf("%w %s: at most %d bytes, got %d", ErrInvalid, f.name,
				MaxNameBytes, len(f.value))
		}
	}
	for _, a := range d.Attributes {
		if a.Name == "" || len(a.Name) > MaxNameBytes {
			return fmt.Errorf("%w attribute name: 1 to %d bytes, got %d", ErrInvalid,
				MaxNameBytes, len(a.Name))
		}
	}
	slot, ok := d.Slot()
	if d.Closes && !ok {
		return fmt.Errorf("%w event: it closes a slot but has none", ErrInvalid)
	}
	if len(slot) > MaxSlotBytes {
		return fmt.Errorf("%w slot: at most %d bytes, got %d", ErrInvalid, MaxSlotBytes, len(slot))
	}
	return nil
}

// MaxSlotBytes bounds a subject that names a slot, as a JSON string.
const MaxSlotBytes = 512

// Slot returns the slot of its reserved topic that the event goes into, replacing what was in it: its
// CloudEvents subject, as written in JSON. An event without a subject, or whose topic is not reserved,
// has none. An event stays in its slot when it is trimmed.
func (d *Draft) Slot() (subject string, ok bool) {
	if !IsReserved(d.Topic) {
		return "", false
	}
	for _, a := range d.Attributes {
		if a.Name == "subject" {
			return a.Value, true
		}
	}
	return "", false
}
