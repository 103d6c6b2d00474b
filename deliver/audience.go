package deliver

import (
	"slices"
	"strings"

	"tidings/store"
)

// audience are the devices with a pattern.
type audience struct{ devices []*device }

// audiences finds who wants a topic: by its name those that ask for it alone, by a trie of segments those with
// wildcards.
type audiences struct {
	exact map[string]*audience
	wild  branch
}

// branch is a node of the trie.
type branch struct {
	children map[string]*branch
	audience // whose pattern ends here
}

func isWild(pattern string) bool { return strings.ContainsAny(pattern, "*>") }

func (a *audiences) add(d *device) {
	for pattern := range strings.FieldsSeq(d.topics) {
		if isWild(pattern) {
			b := a.wild.grow(pattern)
			b.devices = append(b.devices, d)
			continue
		}
		who := a.exact[pattern]
		if who == nil {
			who = &audience{}
			a.exact[pattern] = who
		}
		who.devices = append(who.devices, d)
	}
}

func (a *audiences) remove(d *device) {
	for pattern := range strings.FieldsSeq(d.topics) {
		if isWild(pattern) {
			a.wild.prune(pattern, d)
		} else if who := a.exact[pattern]; who.drop(d) {
			delete(a.exact, pattern)
		}
	}
}

// drop reports whether nobody is left.
func (a *audience) drop(d *device) bool {
	if i := slices.Index(a.devices, d); i >= 0 {
		last := len(a.devices) - 1
		a.devices[i], a.devices[last] = a.devices[last], nil
		a.devices = a.devices[:last]
	}
	return len(a.devices) == 0
}

func (b *branch) grow(pattern string) *branch {
	for segment := range strings.SplitSeq(pattern, ".") {
		child := b.children[segment]
		if child == nil {
			child = &branch{}
			if b.children == nil {
				b.children = make(map[string]*branch)
			}
			b.children[segment] = child
		}
		b = child
	}
	return b
}

// prune undoes grow, and reports whether nothing is left.
func (b *branch) prune(pattern string, d *device) bool {
	if pattern == "" {
		b.drop(d)
	} else {
		segment, rest, _ := strings.Cut(pattern, ".")
		if b.children[segment].prune(rest, d) {
			delete(b.children, segment)
		}
	}
	return len(b.devices) == 0 && len(b.children) == 0
}

// visit calls found for each audience of the topic.
func (a *audiences) visit(topic string, found func(*audience)) {
	if who := a.exact[topic]; who != nil {
		found(who)
	}
	a.wild.visit(topic, !store.IsReserved(topic), found)
}

// visit is that of the rest of a topic; no wildcard stands for the first segment of a reserved one.
func (b *branch) visit(topic string, wild bool, found func(*audience)) {
	segment, rest, more := strings.Cut(topic, ".")
	if all := b.children[">"]; all != nil && wild {
		found(&all.audience)
	}
	for _, key := range [...]string{"*", segment} {
		child := b.children[key]
		switch {
		case child == nil || key == "*" && !wild:
		case more:
			child.visit(rest, true, found)
		case len(child.devices) > 0:
			found(&child.audience)
		}
	}
}
