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
	Snoozed State = "snoozed" // nobody has it, and nothing rings for a time
	Claimed State = "claimed" // somebody has it
	Done    State = "done"    // nothing any more
)

// Holder is who answers: the subject is of the token, the rest is what they say. All three together tell holders
// apart: a shop has one token for many.
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

// alert is an event that a rule matched. The Board's mu guards it, but for answering.
type alert struct {
	answering sync.Mutex // held while an answer or a step is stored; before mu
	id        store.ID
	row
}

// row is what the log keeps of an alert, so that a start does not read what came before. It is what the events of
// its slot say.
type row struct {
	Topic   string       `json:"topic"`
	Type    string       `json:"type"`
	Rules   []escalation `json:"rules"`
	Slot    store.ID     `json:"slot"`    // the newest answer or step; zero: none
	Handle  store.ID     `json:"handle"`  // of the claim that counts; zero: nobody has it
	Holder  Holder       `json:"holder"`  // who has it, or had it when it was done
	Changed store.ID     `json:"changed"` // the newest answer
	Opened  store.ID     `json:"opened"`  // that has opened it again; zero: the event itself
	Done    store.ID     `json:"done"`    // that has ended it; zero: it is not
	Expired bool         `json:"expired,omitzero"`
	Until   time.Time    `json:"until,omitzero"`
}

// escalation is how far the steps of a rule have come.
type escalation struct {
	Rule string `json:"rule"`
	Step int    `json:"step"` // that were taken

	// The delays of the steps count from base, less what had passed of them before. base is by the monotonic clock:
	// a clock that is set does not move it.
	base   time.Time
	before time.Duration
	waits  bool // for the rule's hours; then base means nothing
}

// of returns the escalation by a rule; nil if there is none.
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

// opened is when the alert was opened for the last time, by the log.
func (a *alert) opened() time.Time { return store.Later(a.id, a.Opened).Time() }

// begin has the steps of a rule count from now; of what was committed before the board was there, from when it
// would have counted. The caller holds mu.
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

// said is the data of an answer or a step.
type said struct {
	By       *Holder    `json:"by,omitempty"`
	To       *Holder    `json:"to,omitempty"`   // of a hand over
	From     *Holder    `json:"from,omitempty"` // who had it before
	Force    bool       `json:"force,omitzero"`
	Until    *time.Time `json:"until,omitempty"`
	Note     string     `json:"note,omitempty"`
	Rule     string     `json:"rule,omitempty"` // of a step, or that it is about
	Step     int        `json:"step,omitzero"`  // from 1
	Delivery string     `json:"delivery,omitempty"`
	Push     bool       `json:"push,omitzero"`    // it is told to devices
	Type     string     `json:"type,omitempty"`   // of the event
	Since    *time.Time `json:"since,omitempty"`  // the event was committed, or nobody has heard the rule
	Reason   string     `json:"reason,omitempty"` // of what expired, or was withdrawn
}

// draft is the event that says so.
func (s *said) draft(topic, typ string) store.Draft {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // it has nothing that could fail
	}
	return store.Draft{Topic: topic, Type: typ, ContentType: "application/json", Data: text}
}

// draft is the event that says so in the slot of an alert.
func (a *alert) draft(typ string, s said) store.Draft {
	d := s.draft(prefix+a.Topic, typ)
	d.Attributes = []store.Attribute{{Name: "subject", Value: strconv.Quote(a.id.String())}}
	d.Closes = typ == TypeDone || typ == TypeExpired
	return d
}

// subject returns the event that an answer is about.
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

// answered follows an event of a topic of answers. The caller holds mu.
func (b *Board) answered(topic string, e *store.Event) {
	id, ok := subject(e)
	a := b.find(id)
	if !ok || a == nil || a.Topic != topic {
		return
	}
	var s said
	if err := json.Unmarshal(e.Data, &s); err != nil || !a.Done.IsZero() && e.Type != TypeUndone {
		b.o.Logger.Warn("an answer is passed over: it is damaged, or came after the alert was done", "id", e.ID,
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

// follows is answered of one type of events. The caller holds mu.
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

// restart has the steps of an alert that is nobody's again begin anew. The caller holds mu.
func (b *Board) restart(a *alert) {
	for i := range a.Rules {
		a.Rules[i].Step = 0
		b.begin(a, &a.Rules[i])
	}
	b.wake()
}

// count notes that an alert is open, or is not any more. The caller holds mu.
func (b *Board) count(a *alert, by int) {
	for i := range a.Rules {
		if r := b.rules[a.Rules[i].Rule]; r != nil {
			r.open += by
		}
	}
	b.wake() // there may be room for others, and it is forgotten in time
}

// remove forgets an alert. The caller holds mu.
func (b *Board) remove(a *alert) {
	if i, ok := b.index(a.id); ok {
		b.alerts = slices.Delete(b.alerts, i, i+1)
		b.note(alertName(a.id), nil)
	}
}

// Alert is an alert as it is.
type Alert struct {
	ID      store.ID // of the event
	Topic   string
	Type    string
	Rules   []string
	Since   time.Time // of the event
	State   State
	Rings   bool     // consoles should
	Holder  *Holder  // of a Claimed or a Done one; nil if it was done without one
	Handle  store.ID // names the claim to release, end or hand over; of a Done one what ended it, to undo
	Changed time.Time
	Until   time.Time // of a Snoozed one
	Step    int       // how many were taken
	Due     time.Time // of the next one; zero: there is none
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
