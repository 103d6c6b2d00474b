package nodes

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings/store"
)

// Pages are the pages of one node that could call a person; package presence implements it.
type Pages interface {
	Hears(topics store.Filter) bool // whether an alarm of the topics would be heard
	Settled() bool                  // whether it counts that none would

	// Visible reports whether a person of this name has a page in view that shows the topics.
	Visible(owner string, topics store.Filter) bool

	Able(n int) []store.Filter            // topics of which an alarm would be heard
	Seen(n int) map[string][]store.Filter // topics of pages in view, by person, n at most in all
}

const (
	// maxHears and maxSeen bound what a node reports of its pages. Beyond maxHears a rule may be reported as unheard
	// although it is heard; beyond maxSeen, or the bytes of the views, a person gets a push for what they see. A
	// report is one message: in JSON it takes at most half of the 1 MiB that a NATS server accepts by default.
	maxHears = 500
	maxSeen  = 2000

	maxHearsBytes = 64 << 10
	maxSeenBytes  = 128 << 10
)

// pagesHello is what a node reports of its pages.
type pagesHello struct {
	Hears     []string `json:"hears,omitempty"` // topics, as store.Filter writes them
	Views     []view   `json:"views,omitempty"`
	Unsettled bool     `json:"unsettled,omitempty"`
}

// view is the pages of a node that show the same topics, and are in view.
type view struct {
	Topics string   `json:"topics"` // as store.Filter writes them
	Owners []string `json:"owners"` // digests
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
	h.Views = viewsOf(c.o.Pages.Seen(maxSeen))
	h.Unsettled = !c.o.Pages.Settled()
	return h
}

// viewsOf returns as many views as fit into a report.
func viewsOf(seen map[string][]store.Filter) (all []view) {
	at, bytes := make(map[string]int), 0
	for owner, filters := range seen {
		digest := digestOf(owner)
		for _, f := range filters {
			topics := f.String()
			i, ok := at[topics]
			size := len(digest)
			if !ok {
				i, size = len(all), size+len(topics)
			}
			if bytes+size > maxSeenBytes {
				continue
			}
			if bytes += size; !ok {
				at[topics], all = i, append(all, view{Topics: topics})
			}
			all[i].Owners = append(all[i].Owners, digest)
		}
	}
	return all
}

func digestOf(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return base64.RawStdEncoding.EncodeToString(sum[:9])
}

// filters parses the topics. The error says which rule they break.
func (h *pagesHello) filters() (all []store.Filter, err error) {
	views := 0
	for _, v := range h.Views {
		views += len(v.Owners)
	}
	if len(h.Hears) > maxHears || max(views, len(h.Views)) > maxSeen {
		return nil, fmt.Errorf("it has %d topics and %d pages in view, more than %d and %d", len(h.Hears),
			max(views, len(h.Views)), maxHears, maxSeen)
	}
	for _, text := range h.Hears {
		f, err := store.NewFilter(strings.Fields(text)...)
		if err == nil && f.IsZero() {
			err = errors.New("a filter has no topic")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// AllPages are the pages of all nodes, as this one knows them: those of others as reported two seconds ago. All methods
// may be called concurrently.
type AllPages struct {
	cluster *Cluster
	own     Pages
	settle  time.Duration
	excused time.Time // when Settled began to be false; the cluster's mu guards it
}

// AllPages returns the pages of all nodes. settle is how long the pages of a node that has gone have to reach
// another.
func (c *Cluster) AllPages(settle time.Duration) *AllPages {
	return &AllPages{cluster: c, own: c.o.Pages, settle: settle}
}

// Hears reports whether an alarm of the topics would be heard on any node: each pattern on one of them.
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

// Visible reports whether a person of this name has a page in view that shows the topics, on any node.
func (a *AllPages) Visible(owner string, topics store.Filter) bool {
	if a.own.Visible(owner, topics) {
		return true
	}
	digest := digestOf(owner)
	return a.elsewhere(func(w *word) bool {
		return slices.ContainsFunc(w.Views, func(v view) bool { return v.shows(digest, topics) })
	})
}

// shows reports whether the owner has such a page, and it shows the topics. Topics that break a rule show nothing: then
// a push is sent.
func (v *view) shows(digest string, topics store.Filter) bool {
	if _, ok := slices.BinarySearch(v.Owners, digest); !ok {
		return false
	}
	f, err := store.NewFilter(strings.Fields(v.Topics)...)
	return err == nil && f.Covers(topics)
}

// elsewhere reports whether is holds for another node that is not lost.
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

// Settled reports whether it counts that nobody hears: on all nodes, and some time after a node with pages has gone,
// because its pages may be on their way to another. Many nodes that take turns at this delay a true report but cannot
// hide it: after settle it counts for as long, whatever goes, as on one node.
func (a *AllPages) Settled() bool {
	c := a.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	since := now.Sub(a.excused)
	switch {
	case since >= a.settle && since < 2*a.settle:
		return true
	case !a.isExcused(now):
		return true
	case since >= a.settle:
		a.excused = now
	}
	return false
}

// isExcused reports whether the pages of some node may be on their way. The caller holds the cluster's mu.
func (a *AllPages) isExcused(now time.Time) bool {
	c := a.cluster
	if !a.own.Settled() || !c.left.IsZero() && now.Sub(c.left) < a.settle {
		return true
	}
	for _, w := range c.known {
		silent := now.Sub(w.heard)
		if w.Unsettled && silent < LostAfter ||
			len(w.hears) > 0 && silent >= LostAfter && silent < LostAfter+a.settle {
			return true
		}
	}
	return false
}
