package alert

import (
	"log/slog"
	"slices"
	"strings"

	"tidings/store"
)

// Kept returns the ID from which a topic is needed, as of now: the event of its oldest open alert, with the answers
// since; zero: nothing is needed. Events that the board has not read yet are needed, whatever the topic. The returned
// function may be called concurrently, and always returns the same.
func (b *Board) Kept() func(topic string) store.ID {
	b.reading.Lock() // no rule is set meanwhile: one that is set later applies to events that are needed
	defer b.reading.Unlock()
	if b.ctx.Err() == nil {
		_ = b.readOn() // on an error more is needed; follow logs it
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.at
	if !b.watches() {
		seen = b.log.Head()
	}
	from, beyond := b.oldest(), next(seen)
	return func(topic string) store.ID {
		if id, ok := from[strings.TrimPrefix(topic, prefix)]; ok {
			return id
		}
		return beyond
	}
}

// KeptOf is Kept for a log whose board another process may have: it relies on what that board has written, so more may
// be needed. Errors: those of the log.
func KeptOf(log interface {
	Deliveries() ([]store.NamedDelivery, error)
	Head() store.ID
}) (func(topic string) store.ID, error) {
	head := log.Head() // before the rows: a rule that is not among them applies to what follows
	rows, err := log.Deliveries()
	if err != nil {
		return nil, err
	}
	b := &Board{rules: make(map[string]*rule), damaged: make(map[string]bool),
		o: Options{Logger: slog.New(slog.DiscardHandler)}, at: head}
	for i := range rows {
		_ = b.loadRow(&rows[i]) // no board follows damaged rows either
	}
	from, rules, beyond, unread := b.oldest(), b.sortedRules(), next(head), next(b.at)
	return func(topic string) store.ID {
		topic = strings.TrimPrefix(topic, prefix)
		if id, ok := from[topic]; ok {
			return id
		}
		if unread.Before(beyond) && slices.ContainsFunc(rules, func(r *rule) bool { return r.filter.Match(topic) }) {
			return unread
		}
		return beyond
	}, nil
}

// oldest returns the event of the oldest open alert of each topic. The caller holds mu.
func (b *Board) oldest() map[string]store.ID {
	from := make(map[string]store.ID)
	for _, a := range b.alerts { // oldest first
		if _, known := from[a.Topic]; !known && a.Done.IsZero() {
			from[a.Topic] = a.id
		}
	}
	return from
}

func next(id store.ID) store.ID {
	after, _ := id.Next()
	return after
}
