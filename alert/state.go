package alert

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"tidings/store"
)

// State is what an alert waits for.
type State string

const (
	Open    State = "open"    // nobody has it
	Snoozed State = "snoozed" // nobody has it, and it does not ring for a time
	Claimed State = "claimed" // somebody has it
	Done    State = "done"    // nothing more
)

// Holder is who answers: Subject is the token's, the others are as supplied. All three together tell holders apart,
// because a shop has one token for many people.
type Holder struct {
	Subject string `json:"subject,omitempty"`
	Device  string `json:"device,omitempty"`
	Name    string `json:"name,omitempty"`
}

func (h Holder) String() string {
	for _, s := range []string{h.Name, h.Subject, h.Device} {
		if s != "" {
			return s
		}
	}
	return "somebody"
}

// alert is an event that a rule matched. The Board's mu guards it, except answering.
type alert struct {
	answering sync.Mutex // held while an answer or a step is stored; before mu
	id        store.ID
	row
}

// row is what the log keeps of an alert, so that a start does not read what came before. It follows from the events of
// its slot.
type row struct {
	Topic   string       `json:"topic"`
	Type    string       `json:"type"`
	Rules   []escalation `json:"rules"`
	Slot    store.ID     `json:"slot"`    // the newest answer or step; zero: none
	Handle  store.ID     `json:"handle"`  // the current claim; zero: nobody has it
	Holder  Holder       `json:"holder"`  // who has it, or had it when it was done
	Changed store.ID     `json:"changed"` // the newest answer
	Opened  store.ID     `json:"opened"`  // what reopened it; zero: it has not been reopened
	Done    store.ID     `json:"done"`    // what ended it; zero: it is not done
	Expired bool         `json:"expired,omitzero"`
	Until   time.Time    `json:"until,omitzero"`
}

// escalation is how far the steps of a rule have come.
type escalation struct {
	Rule string `json:"rule"`
	Step int    `json:"step"` // how many were taken

	// The delays of the steps count from base, less what had passed of them by then, before. base is by the monotonic
	// clock: setting the clock does not move it.
	base   time.Time
	before time.Duration
	waits  bool // for the rule's hours; base means nothing then
}

// of returns the escalation by a rule, or nil if there is none.
func (a *alert) of(rule string) *escalation {
	for i := range a.Rules {
		if a.Rules[i].Rule == rule {
			return &a.Rules[i]
		}
	}
	return nil
}

func (a *alert) state(now time.Time) State {
	switch {
	case !a.Done.IsZero():
		return Done
	case !a.Handle.IsZero():
		return Claimed
	case now.Before(a.Until) && a.Until.Sub(now) <= maxSnooze: // else the clock was set back
		return Snoozed
	}
	return Open
}

// opened returns when the alert was last opened, by the log.
func (a *alert) opened() time.Time { return store.Later(a.id, a.Opened).Time() }

// begin starts the delays of a rule's steps now or, while loading, when they would have started. The caller holds mu.
func (b *Board) begin(a *alert, e *escalation) {
	r, now := b.rules[e.Rule], b.o.Now()
	if r == nil {
		return
	}
	from := now
	if b.loading {
		from = a.opened()
	}
	e.base, e.before = now, 0
	if e.waits = !r.Always && !r.hours.isOpen(from); e.waits && b.loading {
		from = r.hours.opens(from)
		e.waits = now.Before(from)
	}
	if b.loading && !e.waits {
		e.before = max(0, b.o.LogTime().Sub(from))
	}
}

// said is the data of an answer, a step, or an event about a rule.
type said struct {
	By       *Holder    `json:"by,omitempty"`
	To       *Holder    `json:"to,omitempty"`   // of a hand-over
	From     *Holder    `json:"from,omitempty"` // who had it before
	Force    bool       `json:"force,omitzero"`
	Until    *time.Time `json:"until,omitempty"`
	Note     string     `json:"note,omitempty"`
	Rule     string     `json:"rule,omitempty"` // of a step, or that it is about
	Step     int        `json:"step,omitzero"`  // from 1
	Delivery string     `json:"delivery,omitempty"`
	Push     bool       `json:"push,omitzero"`    // to devices
	Type     string     `json:"type,omitempty"`   // of the event
	Since    *time.Time `json:"since,omitempty"`  // when the event was committed, or since when nobody hears the rule
	Reason   string     `json:"reason,omitempty"` // why it expired, or was withdrawn
}

// draft returns the event with this data.
func (s *said) draft(topic, typ string) store.Draft {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // nothing in it can fail
	}
	return store.Draft{Topic: topic, Type: typ, ContentType: "application/json", Data: text}
}

// draft returns the event with this data in the slot of an alert.
func (a *alert) draft(typ string, s said) store.Draft {
	d := s.draft(prefix+a.Topic, typ)
	d.Attributes = []store.Attribute{{Name: "subject", Value: strconv.Quote(a.id.String())}}
	d.Closes = typ == TypeDone || typ == TypeExpired
	return d
}

// subject returns the ID of the event that an answer is about.
func subject(e *store.Event) (store.ID, bool) {
	for _, a := range e.Attributes {
		if a.Name == "subject" {
			text, err := strconv.Unquote(a.Value)
			if err != nil {
				return store.ID{}, false
			}
			id, err := store.ParseID(text)
			return id, err == nil
		}
	}
	return store.ID{}, false
}

// answered applies an event of a topic of answers. The caller holds mu.
func (b *Board) answered(topic string, e *store.Event) {
	id, ok := subject(e)
	a := b.find(id)
	if !ok || a == nil || a.Topic != topic {
		return
	}
	var s said
	if err := json.Unmarshal(e.Data, &s); err != nil || !a.Done.IsZero() && e.Type != TypeUndone {
		b.o.Logger.Warn("ignoring an answer that is damaged or came after the alert was done", "id", e.ID,
			"type", e.Type, "alert", id, "error", err)
		return
	}
	a.Slot = e.ID
	if e.Type != TypeStep {
		a.Changed = e.ID
	}
	b.follows(a, e, &s)
	b.change(a)
}

// follows is answered for each type of event. The caller holds mu.
func (b *Board) follows(a *alert, e *store.Event, s *said) {
	switch e.Type {
	case TypeClaimed:
		if a.Handle.IsZero() {
			b.noteClaim(a, e.ID)
		}
		a.Handle, a.Holder, a.Until = e.ID, holderOf(s.By), time.Time{}
	case TypeHandedOver:
		a.Handle, a.Holder = e.ID, holderOf(s.To)
	case TypeReleased:
		a.Handle, a.Holder, a.Opened = store.ID{}, Holder{}, e.ID
		b.restart(a)
	case TypeUndone:
		a.Done, a.Handle, a.Holder, a.Opened = store.ID{}, store.ID{}, Holder{}, e.ID
		b.count(a, 1)
		b.restart(a)
	case TypeSnoozed:
		if s.Until != nil {
			a.Until = *s.Until
		}
	case TypeStep:
		if by := a.of(s.Rule); by != nil {
			by.Step = s.Step
		}
		if !b.loading {
			b.counts.Steps++
		}
	case TypeDone, TypeExpired:
		a.Expired = e.Type == TypeExpired
		a.Done, a.Handle, a.Slot, a.Until = e.ID, store.ID{}, store.ID{}, time.Time{}
		b.count(a, -1)
	}
}

func holderOf(h *Holder) Holder {
	if h == nil {
		return Holder{}
	}
	return *h
}

// restart restarts the steps of an alert that is unclaimed again. The caller holds mu.
func (b *Board) restart(a *alert) {
	for i := range a.Rules {
		a.Rules[i].Step = 0
		b.begin(a, &a.Rules[i])
	}
	b.wake()
}

// count records that an alert is open, or no longer is. The caller holds mu.
func (b *Board) count(a *alert, by int) {
	for i := range a.Rules {
		if r := b.rules[a.Rules[i].Rule]; r != nil {
			r.open += by
		}
	}
	b.wake() // there may be room for others, and the alert is to be forgotten in time
}

// remove forgets an alert. The caller holds mu.
func (b *Board) remove(a *alert) {
	if i, ok := b.index(a.id); ok {
		b.alerts = slices.Delete(b.alerts, i, i+1)
		b.note(alertName(a.id), nil)
	}
}

// Alert is the current state of an alert.
type Alert struct {
	ID      store.ID // of the event
	Topic   string
	Type    string
	Rules   []string
	Since   time.Time // of the event
	State   State
	Rings   bool     // whether consoles should ring
	Holder  *Holder  // of a Claimed or a Done one; nil if it was done unclaimed
	Handle  store.ID // the claim, to release, end or hand over; of a Done one what ended it, to undo
	Changed time.Time
	Until   time.Time // of a Snoozed one
	Step    int       // how many were taken
	Due     time.Time // when the next one is due; zero: there is none
}

// describe describes an alert. The caller holds mu.
func (b *Board) describe(a *alert) Alert {
	now := b.o.Now()
	d := Alert{ID: a.id, Topic: a.Topic, Type: a.Type, Since: a.id.Time(), State: a.state(now), Handle: a.Handle}
	if !a.Changed.IsZero() {
		d.Changed = a.Changed.Time()
	}
	if a.Holder != (Holder{}) {
		holder := a.Holder
		d.Holder = &holder
	}
	switch d.State {
	case Done:
		d.Handle = a.Done
	case Snoozed:
		d.Until = a.Until
	}
	for i := range a.Rules {
		e := &a.Rules[i]
		d.Rules, d.Step = append(d.Rules, e.Rule), d.Step+e.Step
		r := b.rules[e.Rule]
		d.Rings = d.Rings || d.State == Open && (r == nil || !now.Before(r.MutedUntil)) // nil: it is damaged
		if due, ok := b.due(a, e, now); ok && (d.Due.IsZero() || due.Before(d.Due)) {
			d.Due = due.Round(0)
		}
	}
	return d
}
