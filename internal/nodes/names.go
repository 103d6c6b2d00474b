package nodes

import "time"

// A name is for people, and nothing rests on it: the lease, questions and metrics go by IDs. Nodes that share a name,
// because nobody gave them one and their hosts have the same, work all the same. Lists then tell them apart by their
// IDs, and each of them says what to do.

// sayClashEvery is how often a node logs that another one has its name.
const sayClashEvery = time.Minute

// Label returns Node.Label of this node.
func (c *Cluster) Label() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return label(c.names(time.Now()), c.id, c.o.Name)
}

// label returns what people call a node, given how many nodes have each name.
func label(names map[string]int, id, name string) string {
	switch {
	case name == "":
		return id
	case names[name] > 1:
		return name + "#" + id
	}
	return name
}

// names returns how many nodes have each name. The caller holds mu.
func (c *Cluster) names(now time.Time) map[string]int {
	n := map[string]int{c.o.Name: 1}
	for _, w := range c.known {
		if now.Sub(w.heard) < ForgetAfter {
			n[w.Name]++
		}
	}
	return n
}

// clashes reports, once a minute, that a node that has been heard before has this node's name. The caller holds mu.
func (c *Cluster) clashes(h *hello, now time.Time) bool {
	_, again := c.known[h.ID] // else it may be the last word of the node that this one replaces
	if !again || h.Ends || h.Name != c.o.Name || h.Name == "" ||
		!c.clashed.IsZero() && now.Sub(c.clashed) < sayClashEvery {
		return false
	}
	c.clashed = now
	return true
}

// replaces reports whether a node has come back under its name as h, and is not another one that has the same: that
// was still heard when h was. was is what h said before; nil: nothing.
func (w *word) replaces(h *hello, was *word) bool {
	return w.Name == h.Name && w.ID != h.ID && (was == nil || w.heard.Before(was.first))
}
