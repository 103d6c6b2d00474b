package nodes

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"tidings/store"
)

// Pages are those of one node that could call a person; package presence has them.
type Pages interface {
	Hears(topics store.Filter) bool // somebody would hear an alarm of them
	Settled() bool                  // it means something that nobody would

	// Visible reports whether a person of this name has a page in view that shows the topics.
	Visible(owner string, topics store.Filter) bool

	Able(n int) []store.Filter // topics of which somebody would hear an alarm
	Owners(n int) []string     // of whom a page is in view
}

const (
	// maxHears and maxSeen bound what a node tells of its pages. Beyond the first it may be said that nobody hears a
	// rule which is heard; beyond the second a person gets a push for what they see.
	maxHears = 500
	maxSeen  = 2000

	maxHearsBytes = 64 << 10
)

// pagesHello is what a node tells of its pages.
type pagesHello struct {
	Hears     []string `json:"hears,omitempty"` // topics, as store.Filter writes them
	Seen      []string `json:"seen,omitempty"`  // digests of owners
	Unsettled bool     `json:"unsettled,omitempty"`
}

func (c *Cluster) ownPages() (h pagesHello) {
	if c.o.Pages == nil {
		return h
	}
	bytes := 0
	for _, topics := range c.o.Pages.Able(maxHears) {
		if text := topics.String(); bytes+len(text) <= maxHearsBytes {
			h.Hears, bytes = append(h.Hears, text), bytes+len(text)
		}
	}
	for _, owner := range c.o.Pages.Owners(maxSeen) {
		h.Seen = append(h.Seen, digestOf(owner))
	}
	h.Unsettled = !c.o.Pages.Settled()
	return h
}

func digestOf(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return base64.RawStdEncoding.EncodeToString(sum[:9])
}

// filters reads the topics; false: they break a rule.
func (h *pagesHello) filters() (all []store.Filter, ok bool) {
	if len(h.Hears) > maxHears || len(h.Seen) > maxSeen {
		return nil, false
	}
	for _, text := range h.Hears {
		f, err := store.NewFilter(strings.Fields(text)...)
		if err != nil || f.IsZero() {
			return nil, false
		}
		all = append(all, f)
	}
	return all, true
}

// AllPages are the pages of all nodes, as this one knows them: with what others have said two seconds ago. All methods
// may be called concurrently.
type AllPages struct {
	cluster *Cluster
	own     Pages
	settle  time.Duration
}

// AllPages returns the pages of all nodes. settle is how long those of a node that has gone have to come to another.
func (c *Cluster) AllPages(settle time.Duration) *AllPages { return &AllPages{c, c.o.Pages, settle} }

// Hears reports whether somebody would hear an alarm of the topics on some node: of each pattern on one of them.
func (a *AllPages) Hears(topics store.Filter) bool {
	for _, pattern := range topics.Patterns() {
		one, err := store.NewFilter(pattern)
		if err != nil || !a.own.Hears(one) && !a.elsewhere(func(w *word) bool { return w.covers(one) }) {
			return false
		}
	}
	return !topics.IsZero()
}

func (w *word) covers(pattern store.Filter) bool {
	for _, f := range w.hears {
		if f.Covers(pattern) {
			return true
		}
	}
	return false
}

// Visible reports whether a person of this name has a page in view that shows the topics, or one on another node,
// whatever that shows.
func (a *AllPages) Visible(owner string, topics store.Filter) bool {
	if a.own.Visible(owner, topics) {
		return true
	}
	digest := digestOf(owner)
	return a.elsewhere(func(w *word) bool {
		_, seen := slices.BinarySearch(w.Seen, digest)
		return seen
	})
}

// elsewhere reports whether something is so of another node that is not lost.
func (a *AllPages) elsewhere(is func(*word) bool) bool {
	c := a.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.known {
		if time.Since(w.heard) < LostAfter && is(w) {
			return true
		}
	}
	return false
}

// Settled reports whether it means something that nobody hears: on all nodes, and some time after one with pages has
// gone, which may be on their way to another.
func (a *AllPages) Settled() bool {
	c := a.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if !a.own.Settled() || !c.left.IsZero() && time.Since(c.left) < a.settle {
		return false
	}
	for _, w := range c.known {
		silent := time.Since(w.heard)
		if w.Unsettled && silent < LostAfter ||
			len(w.hears) > 0 && silent >= LostAfter && silent < LostAfter+a.settle {
			return false
		}
	}
	return true
}
