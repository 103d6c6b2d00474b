package alert

import (
	"strings"

	"tidings/store"
)

// Kept returns from which event on a topic is needed, as of now: from the event of its oldest open alert, with the
// answers since; zero: from none. What the board has not looked at yet is needed, whatever the topic. The function may
// be called concurrently, and says the same for ever.
func (b *Board) Kept() func(topic string) store.ID {
	b.reading.Lock() // no rule is set meanwhile: one that is set later applies to what is needed
	defer b.reading.Unlock()
	if b.ctx.Err() == nil {
		_ = b.readOn() // else more is needed; follow says why
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.at
	if !b.watches() {
		seen = b.log.Head()
	}
	beyond, _ := seen.Next()
	from := make(map[string]store.ID)
	for _, a := range b.alerts { // the oldest first
		if _, known := from[a.Topic]; !known && a.Done.IsZero() {
			from[a.Topic] = a.id
		}
	}
	return func(topic string) store.ID {
		if id, ok := from[strings.TrimPrefix(topic, prefix)]; ok {
			return id
		}
		return beyond
	}
}
