package alert

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"tidings/internal/nodes"
	"tidings/store"
)

const (
	// stepsAtOnce is how many steps are stored at a time: they share a commit.
	stepsAtOnce = 64

	// lookEvery is the least time between two looks at the alerts; lookAtLeast is the most while something may become
	// due, because the clock may be set.
	lookEvery   = time.Second
	lookAtLeast = time.Minute

	// stepTimeout bounds storing a step.
	stepTimeout = 30 * time.Second
)

// due returns when the next step of a rule is due, or when to look again; false: there is none. The caller holds mu.
func (b *Board) due(a *alert, e *escalation, now time.Time) (at time.Time, ok bool) {
	r := b.rules[e.Rule]
	if r == nil || e.Step >= len(r.Steps) || !a.Handle.IsZero() || !a.Done.IsZero() || b.held {
		return time.Time{}, false
	}
	hours := r.hours
	if r.Always {
		hours = nil
	}
	delay := r.Steps[e.Step].After
	if e.Step == 0 && b.unheard(r) {
		delay = 0 // the delay is for somebody who hears
	}
	opens := hours.opens(now)
	switch {
	case e.waits:
		at = opens.Add(delay)
	case opens.After(now):
		at = opens
	default:
		at = e.base.Add(min(max(0, delay-e.before), delay))
	}
	if a.state(now) == Snoozed && at.Before(a.Until) {
		at = a.Until
	}
	if at.Before(r.MutedUntil) {
		at = r.MutedUntil
	}
	return at, true
}

// overdue is a step to take.
type overdue struct {
	id   store.ID
	rule string
	step int // from 1
	gone string
}

// work takes the steps that are due, and returns when to look again; the zero time: when something changes. It looks at
// most once in lookEvery.
func (b *Board) work() time.Time {
	if again := b.looked.Add(lookEvery); b.o.Now().Before(again) {
		return again
	}
	b.looked = b.o.Now()
	gone := b.gone()
	b.refill()
	again := b.listen()
	b.mu.Lock()
	list, next := b.look(b.o.Now())
	b.mu.Unlock()
	if !again.IsZero() && (next.IsZero() || again.Before(next)) {
		next = again
	}
	list = append(list, gone...)
	var wait sync.WaitGroup
	places := make(chan struct{}, stepsAtOnce)
	for _, o := range list { // oldest first
		places <- struct{}{}
		wait.Go(func() {
			b.takeStep(o)
			<-places
		})
	}
	wait.Wait()
	return next
}

// look returns what is due, and forgets alerts that can no longer be undone. The caller holds mu.
func (b *Board) look(now time.Time) (list []overdue, next time.Time) {
	done := 0
	var forget []*alert
	soonest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for i := len(b.alerts) - 1; i >= 0; i-- {
		a := b.alerts[i]
		if !a.Done.IsZero() {
			done++
			if age := now.Sub(a.Done.Time()); done > MaxDone || age > UndoWithin || age < -UndoWithin {
				forget = append(forget, a)
			} else {
				soonest(now.Add(lookAtLeast))
			}
			continue
		}
		soonest(now.Add(lookAtLeast)) // its event may be deleted, or the clock set
		if len(a.Rules) == 0 {
			list = append(list, overdue{id: a.id, gone: "the rule was deleted"})
			soonest(now.Add(lookEvery)) // in case that is not stored
		}
		for j := range a.Rules {
			e := &a.Rules[j]
			if r := b.rules[e.Rule]; e.waits && r != nil && (r.Always || r.hours.isOpen(now)) {
				e.waits, e.base, e.before = false, now, 0
			}
			switch at, ok := b.due(a, e, now); {
			case !ok:
			case at.After(now):
				if e.waits {
					at = b.rules[e.Rule].hours.opens(now)
				}
				soonest(at)
			default:
				list = append(list, overdue{id: a.id, rule: e.Rule, step: e.Step + 1})
				soonest(now.Add(lookEvery)) // the next one, or the same if it fails
			}
		}
	}
	for _, a := range forget {
		if a.answering.TryLock() { // else it is being undone
			b.remove(a)
			a.answering.Unlock()
		}
	}
	slices.Reverse(list) // oldest first
	if soon := now.Add(lookEvery); !next.IsZero() && next.Before(soon) {
		next = soon
	}
	return list, next
}

// takeStep takes a step, unless the alert has changed meanwhile.
func (b *Board) takeStep(o overdue) {
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	_, err := b.say(ctx, o.id, func(a *alert) (string, said, error) {
		if o.gone != "" {
			if !a.Done.IsZero() {
				return "", said{}, nil
			}
			return TypeExpired, said{Reason: o.gone}, nil
		}
		e := a.of(o.rule)
		if e == nil || e.Step != o.step-1 {
			return "", said{}, nil
		}
		if at, ok := b.due(a, e, b.o.Now()); !ok || at.After(b.o.Now()) {
			return "", said{}, nil
		}
		since, step := a.id.Time(), b.rules[o.rule].Steps[e.Step]
		return TypeStep, said{Rule: o.rule, Step: o.step, Delivery: step.Delivery, Push: step.Push, Type: a.Type,
			Since: &since}, nil
	})
	var taken *TakenError
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.As(err, &taken) && !errors.Is(err, nodes.ErrNoLease) &&
		b.ctx.Err() == nil {
		b.o.Logger.Error("cannot store an alert step, will retry", "alert", o.id, "rule", o.rule,
			"error", err)
	}
}

// gone returns the alerts whose events were trimmed since the last look.
func (b *Board) gone() (list []overdue) {
	trimmed := b.log.Trimmed()
	b.mu.Lock()
	if trimmed == b.trimmed {
		b.mu.Unlock()
		return nil
	}
	var old []*alert
	for _, a := range b.alerts {
		if a.Done.IsZero() && !trimmed.Before(a.id) {
			old = append(old, a)
		}
	}
	b.mu.Unlock()
	there := make(map[string]bool) // topics: later events are there, too
	for _, a := range old {
		if there[a.Topic] {
			continue
		}
		switch _, err := b.log.Get(a.id); {
		case err == nil:
			there[a.Topic] = true
		case errors.Is(err, store.ErrNotFound):
			list = append(list, overdue{id: a.id, gone: "its event was deleted"})
		case !errors.Is(err, store.ErrCorrupt):
			return list // the next look starts where this one did
		}
	}
	if len(list) == 0 { // else look again until the expiry is stored
		b.mu.Lock()
		b.trimmed = trimmed
		b.mu.Unlock()
	}
	return list
}

// refill follows events that waited beyond Options.MaxOpen, once at least half of its places are free.
func (b *Board) refill() {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	rules := b.sortedRules()
	rules = slices.DeleteFunc(rules, func(r *rule) bool { return r.Beyond.IsZero() || r.open > b.o.MaxOpen/2 })
	b.mu.Unlock()
	for _, r := range rules {
		if err := b.followBeyond(r); err != nil {
			b.o.Logger.Error("cannot read waiting alerts, will retry", "rule", r.name, "error", err)
		}
	}
}

// followBeyond is refill for one rule. The error is the log's. The caller holds reading.
func (b *Board) followBeyond(r *rule) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	after := r.Beyond
	r.Beyond, r.More = store.ID{}, 0
	reader := b.log.NewReader(r.filter, after)
	for after.Before(b.at) {
		var page store.Page
		b.mu.Unlock()
		page, err = reader.Next(syncPage)
		b.mu.Lock()
		if err != nil {
			if r.Beyond.IsZero() {
				r.Beyond = after
			}
			r.More++ // at least one
			break
		}
		for i := range page.Events {
			e := &page.Events[i]
			if !b.at.Before(e.ID) && slices.Contains(b.ofTopic(e.Topic), r) && r.fits(e) && !b.isOver(r, e) {
				b.raise(r, e)
			}
		}
		reader.Release()
		after = page.Through
	}
	b.changeRule(r)
	return err
}

// isOver reports whether another rule has followed the alert of an event to its end. The caller holds mu.
func (b *Board) isOver(but *rule, e *store.Event) bool {
	if _, ok := b.index(e.ID); ok {
		return false
	}
	return slices.ContainsFunc(b.ofTopic(e.Topic), func(r *rule) bool {
		return r != but && r.From.Before(e.ID) && (r.Beyond.IsZero() || !r.Beyond.Before(e.ID)) && r.fits(e)
	})
}

// Wants reports whether a delivery of this name should send an event that it carries, now. A step is for the delivery
// that it names, while its alert is unclaimed; TypeUnheard is for the one it names, while it holds; TypeWithdrawn is
// for the one it names. Every other event is for all. "" stands for the devices, which get what is marked as pushed.
func (b *Board) Wants(delivery string, e *store.Event) bool {
	about := e.Type == TypeUnheard || e.Type == TypeWithdrawn // about a rule
	if e.Type != TypeStep && !about || !store.IsReserved(e.Topic) {
		return true
	}
	var s said
	id, ok := subject(e)
	if json.Unmarshal(e.Data, &s) != nil || !ok && !about || s.Delivery != delivery || s.Push != (delivery == "") {
		return false
	}
	if b.sync() != nil {
		return true // rather one too many
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if about {
		return b.wantsNotice(e, &s)
	}
	a := b.find(id)
	return a != nil && a.Done.IsZero() && a.Handle.IsZero() && a.Opened.Before(e.ID)
}
