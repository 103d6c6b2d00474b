package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings/store"
)

// Types of events about a rule, in the topic Rule.Notices.
const (
	TypeUnheard   = "alert.unheard"    // nobody would have heard an alert for a time
	TypeWithdrawn = "alert.withdrawn"  // that is over
	TypeSignedOff = "alert.signed-off" // nobody is on duty, until a time
	TypeSignedOn  = "alert.signed-on"  // somebody is again
)

// DefaultUnheardAfter is for how long nobody must be able to hear a rule's alerts before that is reported.
const DefaultUnheardAfter = 2 * time.Minute

// complainEvery is the least time between two log lines about notices that cannot be stored.
const complainEvery = time.Minute

// maxSignOff bounds how long somebody can sign off, unless the rule's hours decide.
const maxSignOff = 7 * 24 * time.Hour

// Reasons to withdraw a TypeUnheard.
const (
	ReasonHeard     = "heard"      // somebody would hear an alert
	ReasonClosed    = "closed"     // the rule's hours are over
	ReasonMuted     = "muted"      // the rule is muted
	ReasonSignedOff = "signed-off" // somebody has signed off
	ReasonOff       = "off"        // the rule no longer wants it
)

// Listeners knows who would hear an alert. Its methods may be called concurrently, and do not call the Board.
type Listeners interface {
	// Hears reports whether an alert of any of these topics would be heard.
	Hears(topics store.Filter) bool
	// Settled reports whether it counts that one would not.
	Settled() bool
}

// Notices returns the topic of the events about the rule itself: that of the answers to a topic that its first pattern
// with room for "$alerts." matches, so that a reader of the rule's answers reads them, too. "" if no pattern has room.
func (r *Rule) Notices() string {
	for _, p := range r.Topics {
		topic := prefix + strings.NewReplacer("*", "_", ">", "_").Replace(p)
		if store.ValidateTopic(topic) == nil {
			return topic
		}
	}
	return ""
}

// hearing is what is known of who would hear the alerts of a rule. The Board's mu guards it.
type hearing struct {
	since  time.Time // since when nobody would, by the monotonic clock; zero: somebody would, or nobody has to
	unsaid bool      // nobody would have for Rule.UnheardAfter, and that may not be stored yet
}

// unheard reports whether nobody has heard the rule for its UnheardAfter.
func (r *rule) unheard() bool { return r.hearing.unsaid || !r.Unheard.IsZero() }

// unheard reports whether it counts that nobody hears a rule: in a restored log it does not, because it is from another
// time. The caller holds mu.
func (b *Board) unheard(r *rule) bool { return !b.held && r.unheard() }

// UnheardDelay returns UnheardAfter with its default; negative: never.
func (r *Rule) UnheardDelay() time.Duration {
	if r.UnheardAfter == 0 {
		return DefaultUnheardAfter
	}
	return r.UnheardAfter
}

// unwanted returns why nobody has to hear the rule now, or "" if somebody has to.
func (r *rule) unwanted(now time.Time) string {
	switch {
	case r.UnheardAfter < 0:
		return ReasonOff
	case now.Before(r.MutedUntil):
		return ReasonMuted
	case now.Before(r.SignedOff):
		return ReasonSignedOff
	case !r.hours.isOpen(now):
		return ReasonClosed
	}
	return ""
}

// notice is an event to store about a rule.
type notice struct {
	rule string
	typ  string
	said said
}

// listen checks whether somebody would hear each rule, and stores each change: once when nobody would, once when that
// is over. It returns when to look again; the zero time: when something changes.
func (b *Board) listen() (next time.Time) {
	if b.o.Listeners == nil {
		return time.Time{}
	}
	now, settled := b.o.Now(), b.o.Listeners.Settled()
	b.mu.Lock()
	rules := b.sortedRules()
	b.mu.Unlock()
	heard := make(map[*rule]bool, len(rules))
	for _, r := range rules {
		heard[r] = r.UnheardAfter >= 0 && b.o.Listeners.Hears(r.filter)
	}
	b.mu.Lock()
	var list []notice
	for _, r := range b.sortedRules() {
		if r.UnheardAfter >= 0 || r.unheard() {
			next = now.Add(lookEvery)
		}
		hears, asked := heard[r]
		if !asked { // it was set meanwhile; the next look includes it
			continue
		}
		if n := b.judge(r, now, settled, hears); n.typ != "" {
			list = append(list, n)
		}
	}
	b.mu.Unlock()
	var failed []string
	var last error
	for _, n := range list {
		if err := b.storeNotice(n); err != nil {
			failed, last = append(failed, n.rule), err
		}
	}
	if last != nil && b.ctx.Err() == nil && now.Sub(b.complained) >= complainEvery {
		b.complained = now
		b.o.Logger.Error("cannot store whether anybody hears the alerts of rules, will retry every second",
			"rules", failed, "error", last)
	}
	return next
}

// judge returns the notice to store about a rule, if any. In a restored log there is none. The caller holds mu.
func (b *Board) judge(r *rule, now time.Time, settled, heard bool) (n notice) {
	if b.held {
		r.hearing = hearing{}
		return n
	}
	n.rule = r.name
	reason := r.unwanted(now)
	if reason == "" && heard {
		reason = ReasonHeard
	}
	switch {
	case reason != "":
		if r.hearing = (hearing{}); !r.Unheard.IsZero() {
			n.typ, n.said = TypeWithdrawn, said{Rule: r.name, Delivery: r.UnheardBy, Reason: reason}
		}
		return n
	case r.hearing.since.IsZero():
		r.hearing.since = now
	}
	if !settled || !r.Unheard.IsZero() || now.Sub(r.hearing.since) < r.UnheardDelay() {
		return n
	}
	if !r.hearing.unsaid {
		r.hearing.unsaid = true
		b.o.Logger.Warn("nobody would hear an alert of this rule: no page that may play sound has its topics",
			"rule", r.name, "since", r.hearing.since.UTC().Format(time.RFC3339))
	}
	if r.Notices() == "" {
		return n
	}
	since := r.hearing.since.UTC().Truncate(time.Millisecond)
	n.typ, n.said = TypeUnheard, said{Rule: r.name, Since: &since}
	if len(r.Steps) > 0 {
		n.said.Delivery, n.said.Push = r.Steps[0].Delivery, r.Steps[0].Push
	}
	return n
}

// storeNotice stores an event about a rule, unless it has become obsolete, and updates the view. The error is the
// log's.
func (b *Board) storeNotice(n notice) error {
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	b.noticing.Lock()
	defer b.noticing.Unlock()
	if err := b.sync(); err != nil {
		return err
	}
	b.mu.Lock()
	r := b.rules[n.rule]
	obsolete := r == nil || r.Unheard.IsZero() != (n.typ == TypeUnheard) ||
		n.typ == TypeUnheard && r.unwanted(b.o.Now()) != ""
	b.mu.Unlock()
	if obsolete {
		return nil
	}
	return b.sayOfRule(ctx, r, n.typ, n.said)
}

// sayOfRule stores an event about a rule, and updates the view. The caller holds noticing.
func (b *Board) sayOfRule(ctx context.Context, r *rule, typ string, s said) error {
	topic := r.Notices()
	if topic == "" {
		return &InvalidError{"topics", `the rule's topics are too long to be prefixed with "$alerts."`}
	}
	if _, err := b.log.AppendOnce(ctx, []store.Group{{Drafts: []store.Draft{s.draft(topic, typ)}}}); err != nil {
		return err
	}
	return b.sync()
}

// noticed applies an event of a topic of answers if it is about a rule, and reports whether it is. The caller holds mu.
func (b *Board) noticed(e *store.Event) bool {
	if !slices.Contains([]string{TypeUnheard, TypeWithdrawn, TypeSignedOff, TypeSignedOn}, e.Type) {
		return false
	}
	var s said
	if err := json.Unmarshal(e.Data, &s); err != nil {
		b.o.Logger.Warn("skipping a damaged event about an alert rule", "id", e.ID, "error", err)
		return true
	}
	r := b.rules[s.Rule]
	if r == nil || r.Notices() != e.Topic || !r.From.Before(e.ID) {
		return true // it was deleted, or another rule has its name by now
	}
	switch e.Type {
	case TypeUnheard:
		r.Unheard, r.UnheardBy = e.ID, s.Delivery
	case TypeWithdrawn:
		r.Unheard, r.UnheardBy = store.ID{}, ""
	case TypeSignedOff:
		if s.Until != nil {
			r.SignedOff = *s.Until
		}
	case TypeSignedOn:
		r.SignedOff = time.Time{}
	}
	b.changeRule(r)
	b.wake()
	return true
}

// SignOff records, durably, that nobody is on duty for a rule: for answer.For or, if that is zero, until its hours next
// begin. Its open alerts still escalate. Errors: ErrRuleNotFound, *InvalidError, and those of the log.
func (b *Board) SignOff(ctx context.Context, name string, answer Answer) (RuleStatus, error) {
	return b.sign(ctx, name, answer, func(r *rule) (string, said, error) {
		if answer.For < 0 || answer.For > maxSignOff {
			return "", said{}, &InvalidError{"seconds", fmt.Sprintf("expected at most %d", maxSignOff/time.Second)}
		}
		now := b.o.Now()
		until := now.Add(answer.For)
		if answer.For == 0 {
			until = r.hours.opensAgain(now)
		}
		if until.IsZero() {
			return "", said{}, &InvalidError{"seconds", "expected a duration: the rule has no hours, or never closes"}
		}
		until = until.UTC().Truncate(time.Millisecond)
		return TypeSignedOff, said{Until: &until}, nil
	})
}

// SignOn undoes a SignOff, durably. Errors: as SignOff.
func (b *Board) SignOn(ctx context.Context, name string, answer Answer) (RuleStatus, error) {
	return b.sign(ctx, name, answer, func(*rule) (string, said, error) { return TypeSignedOn, said{}, nil })
}

// sign stores a sign-off or its undoing. what is called with mu held.
func (b *Board) sign(ctx context.Context, name string, answer Answer,
	what func(*rule) (string, said, error)) (RuleStatus, error) {
	if err := answer.check(); err != nil {
		return RuleStatus{}, err
	}
	b.noticing.Lock()
	defer b.noticing.Unlock()
	b.mu.Lock()
	r := b.rules[name]
	if r == nil {
		b.mu.Unlock()
		return RuleStatus{}, ErrRuleNotFound
	}
	typ, s, err := what(r)
	b.mu.Unlock()
	if err != nil {
		return RuleStatus{}, err
	}
	s.Rule, s.By, s.Note = name, &answer.By, answer.Note
	if err := b.sayOfRule(ctx, r, typ, s); err != nil {
		return RuleStatus{}, err
	}
	return b.GetRule(name)
}

// wantsNotice is Wants for an event about a rule. The caller holds mu.
func (b *Board) wantsNotice(e *store.Event, s *said) bool {
	r := b.rules[s.Rule]
	return e.Type == TypeWithdrawn || r != nil && r.Unheard == e.ID
}
