package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tidings/store"
)

// Answer is what somebody does about an alert.
type Answer struct {
	By     Holder
	Note   string
	Handle store.ID      // of the claim that it is about, or of the answer to undo
	Force  bool          // claim it whoever has it
	To     Holder        // of a hand over
	For    time.Duration // of a snooze
}

const (
	maxName   = 64
	maxNote   = 500
	maxSnooze = time.Hour
)

// check returns an *InvalidError if a text is too long, or has control characters.
func (a *Answer) check() error {
	for _, f := range []struct {
		name, text string
		max        int
	}{{"name", a.By.Name, maxName}, {"device", a.By.Device, maxName}, {"note", a.Note, maxNote},
		{"to", a.To.Name, maxName}, {"to", a.To.Device, maxName}, {"to", a.To.Subject, store.MaxNameBytes}} {
		bad := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
		if utf8.RuneCountInString(f.text) > f.max || strings.ContainsFunc(f.text, bad) {
			return &InvalidError{f.name, fmt.Sprintf("expected at most %d characters, none of them a control character", f.max)}
		}
	}
	return nil
}

// Claim gives an alert to the caller, durably, if nobody has it: of many at once one gets it. If the caller already has
// it, Claim returns the same claim, and made is false. Errors: ErrNotFound, ErrDone, *TakenError, *InvalidError, and
// those of the log.
func (b *Board) Claim(ctx context.Context, id store.ID, answer Answer) (status Alert, made bool, err error) {
	if answer.By == (Holder{}) {
		return Alert{}, false, &InvalidError{"name", `expected a "name" or a "device" for the claim: the token ` +
			`has no subject`}
	}
	status, err = b.answer(ctx, id, answer, func(a *alert) (string, said, error) {
		made = false
		switch {
		case !a.Done.IsZero():
			return "", said{}, ErrDone
		case !a.Handle.IsZero() && a.Holder == answer.By:
			return "", said{}, nil
		case !a.Handle.IsZero() && !answer.Force:
			return "", said{}, &TakenError{a.Holder, a.Handle}
		}
		made = true
		s := said{}
		if !a.Handle.IsZero() {
			from := a.Holder
			s.Force, s.From = true, &from
		}
		return TypeClaimed, s, nil
	})
	return status, made, err
}

// Release gives an alert back, durably: its steps restart. Errors: as Done.
func (b *Board) Release(ctx context.Context, id store.ID, answer Answer) (Alert, error) {
	return b.ofClaim(ctx, id, answer, TypeReleased, said{})
}

// Done ends an alert, durably. The answer names the current claim. Errors: ErrNotFound, ErrDone, *StaleError,
// *InvalidError, and those of the log.
func (b *Board) Done(ctx context.Context, id store.ID, answer Answer) (Alert, error) {
	return b.ofClaim(ctx, id, answer, TypeDone, said{})
}

// HandOver gives an alert to somebody else, durably. Errors: as Done.
func (b *Board) HandOver(ctx context.Context, id store.ID, answer Answer) (Alert, error) {
	if answer.To == (Holder{}) {
		return Alert{}, &InvalidError{"to", `expected a recipient: a "name", a "device" or a "subject"`}
	}
	return b.ofClaim(ctx, id, answer, TypeHandedOver, said{To: &answer.To})
}

// ofClaim stores an answer about the claim that it names.
func (b *Board) ofClaim(ctx context.Context, id store.ID, answer Answer, typ string, s said) (Alert, error) {
	return b.answer(ctx, id, answer, func(a *alert) (string, said, error) {
		switch {
		case !a.Done.IsZero():
			return "", said{}, ErrDone
		case answer.Handle.IsZero() || a.Handle != answer.Handle:
			return "", said{}, &StaleError{a.Handle}
		}
		return typ, s, nil
	})
}

// Snooze silences an alert that nobody has for a time, durably. Errors: ErrNotFound, ErrDone, *TakenError,
// *InvalidError, and those of the log.
func (b *Board) Snooze(ctx context.Context, id store.ID, answer Answer) (Alert, error) {
	if answer.For < time.Second || answer.For > maxSnooze {
		return Alert{}, &InvalidError{"seconds", fmt.Sprintf("expected 1 to %d", maxSnooze/time.Second)}
	}
	return b.answer(ctx, id, answer, func(a *alert) (string, said, error) {
		switch {
		case !a.Done.IsZero():
			return "", said{}, ErrDone
		case !a.Handle.IsZero():
			return "", said{}, &TakenError{a.Holder, a.Handle}
		}
		until := b.o.Now().Add(answer.For).UTC().Truncate(time.Millisecond)
		return TypeSnoozed, said{Until: &until}, nil
	})
}

// Undo reopens an alert that was done within UndoWithin, durably; the answer names what ended it. Errors: ErrNotFound,
// ErrNotDone, ErrDone if it has expired, *StaleError, *InvalidError, and those of the log.
func (b *Board) Undo(ctx context.Context, id store.ID, answer Answer) (Alert, error) {
	return b.answer(ctx, id, answer, func(a *alert) (string, said, error) {
		switch {
		case a.Done.IsZero():
			return "", said{}, ErrNotDone
		case a.Expired:
			return "", said{}, ErrDone
		case answer.Handle != a.Done:
			return "", said{}, &StaleError{a.Done}
		}
		return TypeUndone, said{}, nil
	})
}

// answer stores what judge returns for the current alert, unless that is nothing.
func (b *Board) answer(ctx context.Context, id store.ID, answer Answer,
	judge func(*alert) (typ string, s said, err error)) (Alert, error) {
	if err := answer.check(); err != nil {
		return Alert{}, err
	}
	return b.say(ctx, id, func(a *alert) (string, said, error) {
		typ, s, err := judge(a)
		by := answer.By
		s.By, s.Note = &by, answer.Note
		return typ, s, err
	})
}

// say stores an event in the slot of an alert, on the condition that the alert is still as judge saw it. judge is
// called with mu held; if it returns no type, nothing is stored.
func (b *Board) say(ctx context.Context, id store.ID,
	judge func(*alert) (typ string, s said, err error)) (Alert, error) {
	if err := b.sync(); err != nil {
		return Alert{}, err
	}
	b.mu.Lock()
	a := b.find(id)
	b.mu.Unlock()
	if a == nil {
		return Alert{}, ErrNotFound
	}
	a.answering.Lock()
	defer a.answering.Unlock()
	for {
		b.mu.Lock()
		if b.find(id) != a {
			b.mu.Unlock()
			return Alert{}, ErrNotFound
		}
		typ, s, err := judge(a)
		status, newest, draft := b.describe(a), a.Slot, a.draft(typ, s)
		b.mu.Unlock()
		if err != nil || typ == "" {
			return status, err
		}
		_, err = b.log.AppendOnce(ctx, []store.Group{{Drafts: []store.Draft{draft}, Newest: &newest, Slot: true}})
		var conflict *store.ConditionError
		if err != nil && !errors.As(err, &conflict) {
			return Alert{}, err
		}
		if err := b.sync(); err != nil {
			return Alert{}, err
		}
		b.mu.Lock()
		if conflict != nil && a.Slot == newest {
			b.unreadable(a, conflict.Newest)
		}
		status = b.describe(a)
		b.mu.Unlock()
		if conflict == nil {
			return status, nil
		}
	}
}

// unreadable treats an answer that cannot be read as somebody's claim. The caller holds mu.
func (b *Board) unreadable(a *alert, id store.ID) {
	b.o.Logger.Error("cannot read an answer to an alert; the alert counts as claimed until it is taken "+
		"over", "alert", a.id,
		"answer", id)
	a.Slot, a.Handle, a.Holder, a.Changed = id, id, Holder{}, id
	b.change(a)
}

// Get returns an alert that is open, or can be undone. Errors: ErrNotFound, and those of the log.
func (b *Board) Get(id store.ID) (Alert, error) {
	if err := b.sync(); err != nil {
		return Alert{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.find(id)
	if a == nil {
		return Alert{}, ErrNotFound
	}
	return b.describe(a), nil
}

// List is the result of Board.List.
type List struct {
	Alerts []Alert      // the oldest first
	Open   int          // how many nobody has, including those not in Alerts
	More   int          // how many events wait beyond Options.MaxOpen, of rules whose topics all match
	Held   bool         // nothing is escalated: the log was restored
	Rules  []RuleStatus // rules that somebody has to hear and whose topics all match, by name
}

// List returns the alerts of matching topics that are not done, at most max of those above the ID after, as of the head
// when it was called; with done also those that can be undone. The error is the log's.
func (b *Board) List(f store.Filter, done bool, after store.ID, max int) (List, error) {
	if err := b.sync(); err != nil {
		return List{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	list, now := List{Held: b.held}, b.o.Now()
	for _, a := range b.alerts {
		state := a.state(now)
		if state == Done && !done || !f.Match(a.Topic) {
			continue
		}
		if state == Open || state == Snoozed {
			list.Open++
		}
		if after.Before(a.id) && len(list.Alerts) < max {
			list.Alerts = append(list.Alerts, b.describe(a))
		}
	}
	for _, r := range b.sortedRules() {
		if f.Covers(r.filter) {
			list.More += r.More
			if r.UnheardAfter >= 0 {
				list.Rules = append(list.Rules, b.status(r))
			}
		}
	}
	return list, nil
}
