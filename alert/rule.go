package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings/replay"
	"tidings/store"
)

// Rule says which events demand an answer, and what happens if none comes.
type Rule struct {
	Topics      []string `json:"topics"`
	Types       []string `json:"types,omitempty"`       // empty: all but the server's own
	MinSeverity int      `json:"min_severity,omitzero"` // least CloudEvents severitynumber; 0: events without one, too
	Hours       *Hours   `json:"hours,omitzero"`        // when somebody is on duty; nil: always
	Always      bool     `json:"always,omitzero"`       // steps are taken outside Hours, too
	Steps       []Step   `json:"steps,omitempty"`       // by their delay

	MutedUntil time.Time `json:"muted_until,omitzero"` // until then nothing rings, and no step is taken

	// UnheardAfter is for how long, within Hours, nobody must be able to hear an alert before that is reported: see
	// TypeUnheard. 0: DefaultUnheardAfter; negative: never.
	UnheardAfter time.Duration `json:"unheard_after,omitzero"`
}

// Step is what happens when an alert has been open and unclaimed for a time.
type Step struct {
	After    time.Duration `json:"after"`              // since its event was committed
	Delivery string        `json:"delivery,omitempty"` // which carries the event alert.step
	Push     bool          `json:"push,omitzero"`      // it is pushed to devices instead
}

const (
	maxPatterns = 64
	maxSteps    = 10
	maxDelay    = 7 * 24 * time.Hour
	maxRuleName = 64                          // the row of an alert has the names of all its rules
	maxRuleRow  = store.MaxDeliveryRecord / 2 // it grows while events wait
)

// rule is a rule in force. The Board's mu guards it.
type rule struct {
	name string
	ruleRow
	filter store.Filter
	hours  *hours
	open   int // alerts that are not done
	claims store.Histogram

	hearing hearing
}

// ruleRow is what the log keeps of a rule.
type ruleRow struct {
	Version int `json:"version"`
	Rule
	From   store.ID  `json:"from"`   // it applies to later events
	Beyond store.ID  `json:"beyond"` // later events are not followed yet; zero: all are
	More   int       `json:"more,omitzero"`
	By     string    `json:"created_by"`
	Made   time.Time `json:"created"`

	Unheard   store.ID  `json:"unheard,omitzero"`    // the TypeUnheard event that is in force; zero: none
	UnheardBy string    `json:"unheard_by,omitzero"` // the delivery that it names
	SignedOff time.Time `json:"signed_off,omitzero"` // until then nobody is on duty
}

// compile checks a rule, and prepares it for use. The error is an *InvalidError.
func compile(name string, r ruleRow) (*rule, error) {
	c := &rule{name: name, ruleRow: r}
	c.claims.Buckets = make(map[float64]uint64)
	for _, bound := range claimBounds {
		c.claims.Buckets[bound] = 0
	}
	var err error
	switch {
	case len(r.Topics) == 0 || len(r.Topics) > maxPatterns:
		return nil, &InvalidError{"topics", fmt.Sprintf("expected 1 to %d patterns", maxPatterns)}
	case len(r.Types) > maxPatterns:
		return nil, &InvalidError{"types", fmt.Sprintf("expected at most %d", maxPatterns)}
	case slices.Contains(r.Types, ""):
		return nil, &InvalidError{"types", "expected no empty type"}
	case r.MutedUntil.Year() < 1 || r.MutedUntil.Year() > 9000:
		return nil, &InvalidError{"muted_until", "expected a time before the year 9000"}
	case len(name) > maxRuleName:
		return nil, &InvalidError{"name", fmt.Sprintf("expected at most %d bytes", maxRuleName)}
	case len(encode(r)) > maxRuleRow:
		return nil, &InvalidError{"topics", fmt.Sprintf("expected a rule of at most %d bytes in all", maxRuleRow)}
	case r.UnheardAfter > maxDelay:
		return nil, &InvalidError{"unheard_after_seconds", fmt.Sprintf("expected at most %d", maxDelay/time.Second)}
	case r.MinSeverity < 0:
		return nil, &InvalidError{"min_severity", "expected a number of 0 or more"}
	case len(r.Steps) > maxSteps:
		return nil, &InvalidError{"steps", fmt.Sprintf("expected at most %d", maxSteps)}
	}
	if c.filter, err = store.NewFilter(r.Topics...); err != nil {
		return nil, &InvalidError{"topics", err.Error()}
	}
	if c.filter.HasReserved() {
		return nil, &InvalidError{"topics", "reserved topics cannot raise alerts"}
	}
	for i, s := range r.Steps {
		switch {
		case s.After < 0 || s.After > maxDelay:
			return nil, &InvalidError{"steps", fmt.Sprintf("expected delays of 0 to %v", maxDelay)}
		case i > 0 && s.After < r.Steps[i-1].After:
			return nil, &InvalidError{"steps", "expected increasing delays"}
		case (s.Delivery == "") != s.Push:
			return nil, &InvalidError{"steps", "expected either a delivery or a push in each step"}
		}
	}
	if r.Hours != nil {
		if c.hours, err = r.Hours.compile(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// fits reports whether an event in the rule's topics demands an answer.
func (r *rule) fits(e *store.Event) bool {
	if len(r.Types) > 0 && !slices.Contains(r.Types, e.Type) || strings.HasPrefix(e.Type, "tidings.") {
		return false
	}
	if r.MinSeverity == 0 {
		return true
	}
	for _, a := range e.Attributes {
		if a.Name == "severitynumber" {
			n, err := strconv.Atoi(strings.Trim(a.Value, `"`)) // in a header every attribute is text
			return err == nil && n >= r.MinSeverity
		}
	}
	return false
}

// tag identifies the settings.
func (r *Rule) tag() string {
	sum := sha256.Sum256(encode(r))
	return hex.EncodeToString(sum[:8])
}

// sortedRules returns the rules by name. The caller holds mu.
func (b *Board) sortedRules() (all []*rule) {
	for _, name := range slices.Sorted(maps.Keys(b.rules)) {
		all = append(all, b.rules[name])
	}
	return all
}

// RuleStatus is the current state of a rule.
type RuleStatus struct {
	Name string
	Rule
	Tag     string   // identifies the settings, for Put
	From    store.ID // it applies to later events
	By      string   // the subject of a token; "" for none
	Created time.Time
	Open    int // alerts that are not done
	More    int // matching events that wait until others are done

	Unheard   time.Time // since when it has been reported that nobody would hear its alerts; zero: it is not
	SignedOff time.Time // until then nobody is on duty; zero: somebody is
}

// status describes a rule. The caller holds mu.
func (b *Board) status(r *rule) RuleStatus {
	s := RuleStatus{Name: r.name, Rule: r.Rule, Tag: r.tag(), From: r.From, By: r.By, Created: r.Made, Open: r.open,
		More: r.More}
	switch {
	case !b.unheard(r):
	case !r.Unheard.IsZero():
		s.Unheard = r.Unheard.Time()
	default:
		s.Unheard = r.hearing.since.UTC().Round(0)
	}
	if b.o.Now().Before(r.SignedOff) {
		s.SignedOff = r.SignedOff
	}
	return s
}

// Rules returns all rules by name.
func (b *Board) Rules() (list []RuleStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.sortedRules() {
		list = append(list, b.status(r))
	}
	return list
}

// GetRule returns one rule. Errors: ErrRuleNotFound.
func (b *Board) GetRule(name string) (RuleStatus, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rules[name]
	if r == nil {
		return RuleStatus{}, ErrRuleNotFound
	}
	return b.status(r), nil
}

// Put sets a rule, durably. A new one applies to events committed from then on; open alerts of a rule that it replaces
// stay open, and continue with the new steps. If tag is not nil, the rule must have this tag, or not exist if it is
// empty. Errors: *InvalidError, ErrRuleChanged, ErrLimit, and those of the log.
func (b *Board) Put(ctx context.Context, name string, set Rule, by string,
	tag *string) (status RuleStatus, made bool, err error) {
	r, err := compile(name, ruleRow{Version: recordVersion, Rule: set, By: by,
		Made: b.o.Now().UTC().Truncate(time.Millisecond)})
	if err != nil {
		return RuleStatus{}, false, err
	}
	err = b.setRules(ctx, func(rules map[string]*rule) error {
		old := rules[name]
		if tag != nil && (old == nil && *tag != "" || old != nil && *tag != old.tag()) {
			return ErrRuleChanged
		}
		if made = old == nil; made && len(rules) >= MaxRules {
			return fmt.Errorf("%w: at most %d", ErrLimit, MaxRules)
		}
		if made {
			r.From = b.at
		} else if !old.Beyond.IsZero() && old.filter.String() != r.filter.String() {
			return &InvalidError{"topics", "events of its topics wait for others to be done; create another rule"}
		} else {
			r.From, r.Beyond, r.More, r.By, r.Made = old.From, old.Beyond, old.More, old.By, old.Made
			r.open, r.claims = old.open, old.claims
			if r.Notices() == old.Notices() {
				r.Unheard, r.UnheardBy, r.SignedOff, r.hearing = old.Unheard, old.UnheardBy, old.SignedOff, old.hearing
			}
		}
		rules[name] = r
		return nil
	})
	if err != nil {
		return RuleStatus{}, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status(r), made, nil
}

// DeleteRule deletes a rule, durably. Alerts that are open by it alone expire. Errors: ErrRuleNotFound, and those of
// the log.
func (b *Board) DeleteRule(ctx context.Context, name string) error {
	return b.setRules(ctx, func(rules map[string]*rule) error {
		if rules[name] == nil && !b.damaged[name] {
			return ErrRuleNotFound
		}
		delete(rules, name)
		if b.damaged[name] {
			delete(b.damaged, name)
			b.note(ruleName(name), nil)
		}
		return nil
	})
}

// setRules replaces the rules by what change makes of them, from the event at which they are stored: nothing is read
// meanwhile. change is called with mu held.
func (b *Board) setRules(ctx context.Context, change func(map[string]*rule) error) error {
	b.noticing.Lock() // else an event being stored about a rule could find it gone
	defer b.noticing.Unlock()
	b.writing.Lock()
	defer b.writing.Unlock()
	b.reading.Lock()
	defer b.reading.Unlock()
	if err := b.readOn(); err != nil {
		return err
	}
	b.mu.Lock()
	was, at := b.rules, b.at
	if !b.watches() {
		b.at = b.log.Head()
	}
	rules := maps.Clone(was)
	err := change(rules)
	b.noteRules(was, rules)
	b.mu.Unlock()
	if err == nil {
		err = b.write(ctx, false)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.at = at
		b.noteRules(rules, was) // they may have been stored
		return err
	}
	b.rules, b.byTopic = rules, nil
	maps.DeleteFunc(b.damaged, func(name string, _ bool) bool { return rules[name] != nil }) // set again
	b.forgetRules()
	b.countOpen()
	b.closeReader() // it is reopened with the new ones
	b.wake()
	return nil
}

// noteRules has the rules written that differ. The caller holds mu.
func (b *Board) noteRules(was, are map[string]*rule) {
	for name, r := range are {
		if was[name] != r {
			b.note(ruleName(name), r)
		}
	}
	for name := range was {
		if are[name] == nil {
			b.note(ruleName(name), nil)
		}
	}
}

// watches reports whether there is anything to follow the log for. The caller holds mu.
func (b *Board) watches() bool { return len(b.rules)+len(b.alerts) > 0 }

// countOpen counts the open alerts of each rule. The caller holds mu.
func (b *Board) countOpen() {
	for _, r := range b.rules {
		r.open = 0
	}
	for _, a := range b.alerts {
		if a.Done.IsZero() {
			b.count(a, 1)
		}
	}
}

// forgetRules removes deleted rules from alerts. The caller holds mu.
func (b *Board) forgetRules() {
	for _, a := range b.alerts {
		had := len(a.Rules)
		a.Rules = slices.DeleteFunc(a.Rules, func(e escalation) bool {
			return b.rules[e.Rule] == nil && !b.damaged[e.Rule]
		})
		if len(a.Rules) < had {
			b.change(a)
		}
	}
}

// openReader opens the reader if there is something to follow. The error is the log's. The caller holds reading.
func (b *Board) openReader() (err error) {
	if b.reader != nil {
		return nil
	}
	b.mu.Lock()
	patterns := b.patterns()
	b.mu.Unlock()
	if len(patterns) == 0 {
		return nil
	}
	filter, err := store.NewFilter(patterns...)
	if err != nil {
		return err
	}
	reader, err := b.tail.NewReader(filter, replay.After(b.at.String()))
	if err == nil {
		b.reader = reader
	}
	return err
}

// patterns returns the topics of the rules, and those of the answers that are followed. The caller holds mu.
func (b *Board) patterns() (list []string) {
	for _, r := range b.rules {
		for _, p := range r.Topics {
			list = append(list, p)
			if _, err := store.NewFilter(prefix + p); err == nil { // it may be too long
				list = append(list, prefix+p)
			}
		}
	}
	for _, a := range b.alerts { // of a rule that had other topics
		list = append(list, prefix+a.Topic)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
