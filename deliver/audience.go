package deliver

import (
	"strings"

	"tidings/internal/patterns"
	"tidings/store"
)

// audience is the devices that have a pattern: its Values.
type audience = patterns.Trie[*device]

// audiences finds the devices that want a topic. Plain names are in a map, which takes less memory; patterns with
// wildcards are in a trie.
type audiences struct {
	exact map[string]*audience
	wild  audience
}

func isWild(pattern string) bool { return strings.ContainsAny(pattern, "*>") }

func (a *audiences) add(d *device) {
	for pattern := range strings.FieldsSeq(d.topics) {
		if isWild(pattern) {
			a.wild.Add(pattern, d)
			continue
		}
		who := a.exact[pattern]
		if who == nil {
			who = &audience{}
			a.exact[pattern] = who
		}
		who.Add("", d)
	}
}

func (a *audiences) remove(d *device) {
	for pattern := range strings.FieldsSeq(d.topics) {
		if isWild(pattern) {
			a.wild.Remove(pattern, d)
		} else if a.exact[pattern].Remove("", d) {
			delete(a.exact, pattern)
		}
	}
}

// find returns each audience of these topics once, however many of them it wants, with the newest ID among those.
func (a *audiences) find(newest map[string]store.ID) map[*audience]store.ID {
	found := make(map[*audience]store.ID)
	for topic, id := range newest {
		a.visit(topic, func(who *audience) { found[who] = store.Later(found[who], id) })
	}
	return found
}

// visit calls found for each audience of the topic.
func (a *audiences) visit(topic string, found func(*audience)) {
	if who := a.exact[topic]; who != nil {
		found(who)
	}
	a.wild.Match(topic, found)
}
