// Package alert knows which events demand an answer, who has answered, and what to do when nobody does (docs/ALERTS.md,
// docs/adr/0017).
//
//	board, err := alert.New(log, tail, alert.Options{})
//	_, err = board.Put(ctx, "orders", alert.Rule{Topics: []string{"orders.>"}, …}, "admin")
//	…
//	status, made, err := board.Claim(ctx, id, alert.Answer{By: alert.Holder{Name: "Ana"}})
//	…
//	board.Close() // before the tail's and the log's
//
// An alert is an event that a rule matched, and nothing beside it: whether it is open is a view up to the head. Only
// answers and steps are stored, as events of the reserved topic "$alerts.T" of their topic T, each in the slot of the
// event that it is about:
//
//  1. A claim is stored on the condition that the slot has not changed since it was read: of many, one wins.
//  2. A step is stored before anything is sent for it, and on the same condition: none follows a claim.
//  3. A restart, even after a kill, forgets neither an alert nor an answer.
//  4. A restored log escalates nothing until an administrator resumes it.
//  5. Retention asks Kept before it trims, so that open alerts stay.
//
// A Board has two goroutines: one reads the log and takes steps, the other writes how far that has come, with the
// alerts open there, so that a start does not read the log.
package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"tidings/replay"
	"tidings/store"
)

const (
	// MaxRules bounds the number of rules in a log.
	MaxRules = 100

	// DefaultMaxOpen bounds how many alerts of a rule are followed at a time. Further events are counted, and followed
	// when others are done.
	DefaultMaxOpen = 10_000

	// UndoWithin is how long a done alert can be reopened.
	UndoWithin = 10 * time.Minute

	// MaxDone bounds the number of alerts that can be reopened.
	MaxDone = 1000
)

// prefix begins the topic of the answers to another topic.
const prefix = "$alerts."

// Types of the events in a topic of answers.
const (
	TypeClaimed    = "alert.claimed"
	TypeReleased   = "alert.released"
	TypeHandedOver = "alert.handed-over"
	TypeDone       = "alert.done"
	TypeUndone     = "alert.undone"
	TypeSnoozed    = "alert.snoozed"
	TypeStep       = "alert.step"
	TypeExpired    = "alert.expired"
)

var (
	// ErrNotFound: no alert has this ID, or it was done too long ago.
	ErrNotFound = errors.New("alert not found")

	// ErrDone: the alert is done.
	ErrDone = errors.New("the alert is done")

	// ErrNotDone: the alert is not done, so there is nothing to undo.
	ErrNotDone = errors.New("the alert is not done")

	// ErrRuleNotFound: no rule has this name.
	ErrRuleNotFound = errors.New("alert rule not found")

	// ErrRuleChanged: the rule's settings are not the ones that the change was made from.
	ErrRuleChanged = errors.New("alert rule changed")

	// ErrLimit: there are already MaxRules rules.
	ErrLimit = errors.New("alert rule limit reached")
)

// TakenError reports who has the alert.
type TakenError struct {
	Holder Holder   // zero: the answer cannot be read
	Handle store.ID // of the holder's claim
}

func (e *TakenError) Error() string { return fmt.Sprintf("%s has it", e.Holder) }

// StaleError reports that an answer names a claim other than the current one.
type StaleError struct{ Current store.ID }

func (e *StaleError) Error() string { return "the alert was claimed anew meanwhile" }

// InvalidError reports a malformed member.
type InvalidError struct{ Field, Detail string }

func (e *InvalidError) Error() string { return e.Field + ": " + e.Detail }

// Options configures New. The zero value holds the defaults.
type Options struct {
	MaxOpen   int              // default: DefaultMaxOpen
	Listeners Listeners        // nil: who would hear an alert is unknown, and never reported
	Now       func() time.Time // default: time.Now

	// LogTime is the time by the clock that mints IDs. It gives the age of alerts that were opened before New. Default:
	// Now.
	LogTime func() time.Time

	Logger *slog.Logger // default: discard
}

// Source is the part of store.Log that a Board uses. store.Log has the contract.
type Source interface {
	AppendOnce(ctx context.Context, groups []store.Group) ([]store.Result, error)
	SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error
	Deliveries() ([]store.NamedDelivery, error)
	NewReader(f store.Filter, after store.ID) store.Reader
	Get(id store.ID) (store.Event, error)
	Head() store.ID
	Trimmed() store.ID
	Info() (store.Info, error)
}

// Board is the view of the alerts. All methods may be called concurrently.
type Board struct {
	log   Source
	tail  *replay.Tail
	o     Options
	logID store.ID
	ctx   context.Context
	stop  context.CancelFunc
	over  sync.WaitGroup

	noticing sync.Mutex     // held while an event about a rule is stored, and while rules change; before the others
	writing  sync.Mutex     // held from collecting what is to be written until it is written; before reading
	reading  sync.Mutex     // held while the log is read, and while rules change; before mu
	reader   *replay.Reader // at position at; nil: to be opened, or nothing to follow. reading guards it

	mu      sync.Mutex
	rules   map[string]*rule
	damaged map[string]bool    // rules that cannot be read; their open alerts stay open
	byTopic map[string][]*rule // of topics seen, while the rules stay the same
	alerts  []*alert           // sorted by ID: the open ones, and those that can be undone
	at      store.ID           // every event up to here has been read; to move it needs reading, too
	held    bool               // the log was restored, and not resumed
	loading bool               // the events being read were committed before New
	trimmed store.ID           // trimmed alerts have been looked for up to here
	looked  time.Time          // when work last looked; owned by the goroutine that takes steps

	complained time.Time // when it was last logged that notices cannot be stored; owned by the same goroutine

	unwritten map[string]any // rows to write: an *alert, a *rule; nil: delete it
	written   written
	dirty     chan struct{} // there are such rows
	changed   chan struct{} // the reader was replaced, or something became due
	counts    Counts
}

// New begins to follow the log. The error is the log's.
func New(log Source, tail *replay.Tail, o Options) (*Board, error) {
	info, err := log.Info()
	if err != nil {
		return nil, err
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = DefaultMaxOpen
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LogTime == nil {
		o.LogTime = o.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Board{log: log, tail: tail, o: o, logID: info.LogID, rules: make(map[string]*rule),
		damaged:   make(map[string]bool),
		unwritten: make(map[string]any), dirty: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.loading = true
	if err := b.load(); err != nil {
		return nil, err
	}
	if err := b.sync(); err != nil {
		b.closeReader()
		return nil, err
	}
	b.loading = false
	if b.held && len(b.rules) > 0 {
		o.Logger.Warn(`log restored: its alerts are not escalated until you run "tidings alerts resume"`,
			"rules", len(b.rules), "alerts", len(b.alerts))
	}
	b.over.Go(b.follow)
	b.over.Go(b.writeProgress)
	return b, nil
}

// Close ends all steps, and writes how far the board has read. On nil it does nothing.
func (b *Board) Close() {
	if b == nil {
		return
	}
	b.stop()
	b.over.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), progressEvery)
	defer cancel()
	if err := b.flush(ctx, false); err != nil {
		b.o.Logger.Warn("alert progress not written; the next start reads it from the log again", "error", err)
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	b.closeReader()
}

// closeReader makes readOn reopen the reader if there is still something to follow. The caller holds reading.
func (b *Board) closeReader() {
	if b.reader != nil {
		b.reader.Close()
		b.reader = nil
	}
}

// follow reads new events, and takes the steps that are due.
func (b *Board) follow() {
	for b.ctx.Err() == nil {
		if err := b.sync(); err != nil && b.ctx.Err() == nil {
			b.o.Logger.Error("cannot read alerts from the log; steps wait until it is readable", "error", err)
			b.await(nil, b.o.Now().Add(logTrouble))
			continue
		}
		next := b.work()
		b.reading.Lock()
		var ready <-chan struct{}
		if b.reader != nil {
			ready = b.reader.Ready()
		}
		b.reading.Unlock()
		b.await(ready, next)
	}
}

// logTrouble is how long the board waits if the log cannot be read.
const logTrouble = 10 * time.Second

// await returns at a time, or earlier if there is something to read; the zero time is never.
func (b *Board) await(ready <-chan struct{}, at time.Time) {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(at.Sub(b.o.Now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ready:
	case <-due:
	case <-b.changed:
	case <-b.ctx.Done():
	}
}

func (b *Board) wake() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// syncPage is how many events are read at once.
const syncPage = 256

// sync reads at least to the head as of the call. The error is the log's.
func (b *Board) sync() error {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.readOn()
}

// readOn is sync. The caller holds reading.
func (b *Board) readOn() error {
	if err := b.openReader(); err != nil {
		return err
	}
	head := b.log.Head()
	for b.reader != nil && b.at.Before(head) {
		page, err := b.reader.Next(syncPage)
		if err != nil {
			return err
		}
		if page.Gap != nil {
			b.o.Logger.Warn("events are gone that may have been alerts or answers", "reason", string(page.Gap.Reason),
				"detail", page.Gap.Detail)
		}
		b.mu.Lock()
		for i := range page.Events {
			b.take(&page.Events[i])
		}
		b.at = store.Later(b.at, page.Through)
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at != b.written.at && b.o.Now().Sub(b.written.when) >= idleProgress {
		b.markDirty()
	}
	return nil
}

// take processes one event. The caller holds mu.
func (b *Board) take(e *store.Event) {
	if topic, ok := strings.CutPrefix(e.Topic, prefix); ok {
		if !b.noticed(e) {
			b.answered(topic, e)
		}
		return
	}
	for _, r := range b.ofTopic(e.Topic) {
		if r.From.Before(e.ID) && r.fits(e) {
			b.raise(r, e)
		}
	}
}

// ofTopic returns the rules whose patterns match a topic, by name; none if there is no room for "$alerts." before it.
// The caller holds mu.
func (b *Board) ofTopic(topic string) []*rule {
	rules, ok := b.byTopic[topic]
	if ok {
		return rules
	}
	if store.ValidateTopic(prefix+topic) == nil {
		rules = b.sortedRules()
		rules = slices.DeleteFunc(rules, func(r *rule) bool { return !r.filter.Match(topic) })
	}
	if b.byTopic == nil || len(b.byTopic) >= maxTopics {
		b.byTopic = make(map[string][]*rule)
	}
	b.byTopic[topic] = rules
	return rules
}

// maxTopics bounds the topics in byTopic.
const maxTopics = 10_000

// raise opens the alert of an event for a matching rule. The caller holds mu.
func (b *Board) raise(r *rule, e *store.Event) {
	if r.open >= b.o.MaxOpen || !r.Beyond.IsZero() { // older events come first
		if r.Beyond.IsZero() {
			r.Beyond = e.ID.Prev()
			b.o.Logger.Warn("alert rule has reached its limit of open alerts; further ones wait", "rule", r.name,
				"open", r.open)
		}
		r.More++
		b.changeRule(r)
		return
	}
	i, ok := b.index(e.ID)
	if !ok {
		b.alerts = slices.Insert(b.alerts, i, &alert{id: e.ID, row: row{Topic: e.Topic, Type: e.Type}})
	}
	a := b.alerts[i]
	if a.of(r.name) != nil || !a.Done.IsZero() {
		return
	}
	a.Rules = append(a.Rules, escalation{Rule: r.name})
	b.begin(a, &a.Rules[len(a.Rules)-1])
	r.open++
	b.change(a)
	b.wake()
}

// index returns where the alert is, or where it would be. The caller holds mu.
func (b *Board) index(id store.ID) (int, bool) {
	return slices.BinarySearchFunc(b.alerts, id, func(a *alert, id store.ID) int { return a.id.Compare(id) })
}

// find returns an alert. The caller holds mu.
func (b *Board) find(id store.ID) *alert {
	if i, ok := b.index(id); ok {
		return b.alerts[i]
	}
	return nil
}
