package deliver

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidings/replay"
	"tidings/store"
)

// record is what the log keeps beside the position, as JSON. Times are to the millisecond.
type record struct {
	Version int      `json:"version"`
	Log     store.ID `json:"log"` // the log it sends from

	Recipient
	Topics   []string `json:"topics"`
	Format   Format   `json:"format"` // "" for kinds that people read
	GiveUp   duration `json:"give_up_after"`
	OnGiveUp OnGiveUp `json:"on_give_up,omitzero"` // "" is the default of the order
	Order    Order    `json:"order,omitzero"`      // "" is Strict
	InFlight int      `json:"in_flight,omitzero"`  // 0 is DefaultInFlight
	Origin   string   `json:"origin"`              // of the URL; the rest is sealed
	Sealed   []byte   `json:"sealed"`              // a target
	Changed  moment   `json:"secret_changed"`
	By       string   `json:"created_by"`
	Made     moment   `json:"created"`

	Stopped State  `json:"stopped,omitzero"` // Paused, GivenUp or Disabled; "" while it may send
	Reason  string `json:"reason,omitzero"`  // why

	Replays int `json:"replays,omitzero"` // how many there have been

	Due  *due     `json:"due,omitzero"`
	Gap  *telling `json:"gap,omitzero"`
	Told store.ID `json:"told,omitzero"` // trims up to here were reported
}

// due is the message being tried, once it has failed.
type due struct {
	ID        string    `json:"id"`
	Attempts  int       `json:"attempts"`
	First     moment    `json:"first"`
	Last      moment    `json:"last"`
	Failure   string    `json:"failure"`
	NotBefore time.Time `json:"not_before,omitzero"` // the receiver has asked for this
	Through   store.ID  `json:"through,omitzero"`    // the last event, if there are several
}

// telling is a gap that is being reported.
type telling struct {
	*replay.Gap
	Then store.ID `json:"then,omitzero"` // the position once it is reported; zero: unchanged
	Lane string   `json:"lane,omitzero"` // where it was found; "" is none
}

// target is the sealed part of a record.
type target struct {
	URL      string    `json:"url"`
	Secret   string    `json:"secret"`
	Previous string    `json:"previous,omitzero"`
	Until    time.Time `json:"until,omitzero"` // Previous also signs until then

	recipient Recipient // of the record
}

// Format is the form of a request's body.
type Format string

const (
	CloudEvents Format = "cloudevents" // the whole event as CloudEvents JSON
	Data        Format = "data"        // the event's data alone
)

const recordVersion = 1

// purpose binds a sealed target to its delivery.
func purpose(name string) string { return "delivery " + name }

func (r *record) bytes() []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // a template stays as it was given, and as long
	if err := enc.Encode(r); err != nil {
		panic(err) // it has nothing that could fail
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// tag identifies the settings, by which a person who changes them can be sure of what they were.
func (r *record) tag() string {
	settings := record{Recipient: r.Recipient, Topics: r.Topics, Format: r.Format, GiveUp: r.GiveUp,
		OnGiveUp: r.OnGiveUp, Order: r.Order, InFlight: r.InFlight, Sealed: r.Sealed, Made: r.Made}
	sum := sha256.Sum256(settings.bytes())
	return hex.EncodeToString(sum[:8])
}

func (r *record) parse(text []byte) error {
	if text == nil {
		return errors.New("checksum mismatch")
	}
	if err := json.Unmarshal(text, r); err != nil {
		return err
	}
	if r.Version != recordVersion {
		return fmt.Errorf("it has version %d, this release reads %d", r.Version, recordVersion)
	}
	if r.Kind == "" {
		r.Kind = Webhook // once the only kind
	}
	if r.receiver() == nil {
		return fmt.Errorf("this release knows no receivers of kind %q", r.Kind)
	}
	_, err := store.NewFilter(r.Topics...)
	return err
}

// filter matches the events to send.
func (r *record) filter() store.Filter {
	f, _ := store.NewFilter(r.Topics...) // parse and Put have checked them
	return f
}

func (r *record) order() Order { return cmp.Or(r.Order, Strict) }

func (r *record) onGiveUp() OnGiveUp {
	switch {
	case r.OnGiveUp != "":
		return r.OnGiveUp
	case r.order() == Strict:
		return Stop
	}
	return SetAside // there is no order to protect
}

// inFlight is how many requests are made at once.
func (r *record) inFlight() int {
	switch {
	case r.order() == Strict:
		return 1
	case r.InFlight == 0:
		return DefaultInFlight
	}
	return r.InFlight
}

// moment is a time as a record has it.
type moment struct{ time.Time }

func now() moment { return moment{time.Now().UTC().Truncate(time.Millisecond)} }

// duration is a duration as JSON: seconds.
type duration struct{ time.Duration }

// MarshalJSON implements json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.Seconds()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(text []byte) error {
	var seconds float64
	err := json.Unmarshal(text, &seconds)
	d.Duration = time.Duration(seconds * float64(time.Second))
	return err
}
