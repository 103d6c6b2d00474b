// Package presence knows which pages could alert a person: those that hold a stream and report what their browser lets
// them do.
//
//	pages := presence.New(15*time.Second)
//	page := pages.Open(owner, topics) // a stream has begun to report
//	page.Report(presence.State{Visible: true, Armed: &yes})
//	…
//	pages.Visible(owner, topics)  // a person sees a page of theirs that shows these
//	pages.Hears(topics)           // an alarm of these topics would be heard somewhere
//	page.Close()          // with the stream
//
// Nothing of it is stored. A page reports when its stream brings something, so at least once per heartbeat: one that is
// frozen, or has lost the network, falls silent, and no longer counts two heartbeats later (docs/adr/0023).
package presence

import (
	"sync"
	"time"

	"tidings/store"
)

const (
	// staleAfter is the number of heartbeats after which a report no longer counts.
	staleAfter = 2

	// Settling is for how many heartbeats missing pages prove nothing, after a start, or after half of the Able pages
	// have gone at once: they reconnect. Then missing pages count for as long, whatever goes.
	Settling = 3
)

// State is what a page can do.
type State struct {
	Visible bool  // a person may see it
	Allowed bool  // the browser shows its notifications
	Armed   *bool // the browser lets it sound the alarm; nil: the page has none
}

// Hearing says whether an alarm would be heard on a page, or why not.
type Hearing string

const (
	Able    Hearing = "able"     // it may sound, seen or not
	NoAlarm Hearing = "no-alarm" // nothing on the page rings
	Blocked Hearing = "blocked"  // the browser blocks sound, as before a click
	Silent  Hearing = "silent"   // two heartbeats without a report: it is frozen, or has lost the network
)

// Hearings are all of them.
var Hearings = []Hearing{Able, NoAlarm, Blocked, Silent}

// Registry holds the pages that report. All methods may be called concurrently.
type Registry struct {
	heartbeat time.Duration

	mu      sync.Mutex
	pages   map[*Page]struct{}
	visible map[string]map[*Page]struct{} // by owner, as last reported
	armed   map[*Page]struct{}            // as last reported
	settled time.Time                     // by then missing pages have reconnected
	left    int                           // Able pages that were closed since leaving
	leaving time.Time
}

// New returns a Registry for a server with this heartbeat.
func New(heartbeat time.Duration) *Registry {
	return &Registry{heartbeat: heartbeat, pages: make(map[*Page]struct{}),
		visible: make(map[string]map[*Page]struct{}), armed: make(map[*Page]struct{}),
		settled: time.Now().Add(Settling * heartbeat)}
}

// Page is a page that holds a stream. All methods may be called concurrently.
type Page struct {
	r      *Registry
	owner  string
	topics store.Filter
	state  State     // r.mu guards it and the next
	at     time.Time // of the last report; zero: none yet
}

// Open adds a page. The owner is the reader's auth.Grant.Owner; topics are those of its stream. The caller closes it.
func (r *Registry) Open(owner string, topics store.Filter) *Page {
	p := &Page{r: r, owner: owner, topics: topics}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages[p] = struct{}{}
	return p
}

// Report records what the page can do now.
func (p *Page) Report(s State) {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.pages[p]; !ok {
		return // already closed
	}
	r.forget(p)
	p.state, p.at = s, time.Now()
	if s.Visible {
		if r.visible[p.owner] == nil {
			r.visible[p.owner] = make(map[*Page]struct{})
		}
		r.visible[p.owner][p] = struct{}{}
	}
	if s.Armed != nil && *s.Armed {
		r.armed[p] = struct{}{}
	}
}

// forget drops a page's last report. The caller holds mu.
func (r *Registry) forget(p *Page) {
	delete(r.armed, p)
	delete(r.visible[p.owner], p)
	if len(r.visible[p.owner]) == 0 {
		delete(r.visible, p.owner)
	}
}

// Close removes the page: its stream has ended. It is idempotent.
func (p *Page) Close() {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.pages[p]; !ok {
		return
	}
	now := time.Now()
	able := p.hearing(now) == Able
	r.forget(p)
	delete(r.pages, p)
	if able {
		r.lose(now)
	}
}

// lose records that an Able page has gone: only those can be missed. The caller holds mu.
func (r *Registry) lose(now time.Time) {
	if now.Sub(r.leaving) > r.heartbeat {
		r.left, r.leaving = 0, now
	}
	r.left++
	half := r.left >= len(r.armed) // of those before, or more
	if wait := Settling * r.heartbeat; half && now.Sub(r.settled) >= wait {
		r.settled = now.Add(wait)
	}
}

// isFresh reports whether the last report still counts. The caller holds r.mu.
func (p *Page) isFresh(now time.Time) bool {
	return !p.at.IsZero() && now.Sub(p.at) < staleAfter*p.r.heartbeat
}

// hearing says whether an alarm would be heard there. The caller holds r.mu.
func (p *Page) hearing(now time.Time) Hearing {
	switch {
	case !p.isFresh(now):
		return Silent
	case p.state.Armed == nil:
		return NoAlarm
	case !*p.state.Armed:
		return Blocked
	}
	return Able
}

// Look returns the page's last report, its time, and whether an alarm would be heard there.
func (p *Page) Look() (s State, at time.Time, h Hearing) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return p.state, p.at, p.hearing(time.Now())
}

// Visible reports whether a person sees a page of this owner (auth.Grant.Owner) whose stream covers the topics.
func (r *Registry) Visible(owner string, topics store.Filter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for p := range r.visible[owner] {
		if p.isFresh(now) && p.topics.Covers(topics) {
			return true
		}
	}
	return false
}

// Hears reports whether somebody would hear an alarm of any of the topics: each pattern is covered by the stream of an
// Able page.
func (r *Registry) Hears(topics store.Filter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pattern := range topics.Patterns() {
		if one, err := store.NewFilter(pattern); err != nil || !r.hears(one) {
			return false
		}
	}
	return !topics.IsZero()
}

// hears is Hears for one pattern. The caller holds mu.
func (r *Registry) hears(pattern store.Filter) bool {
	now := time.Now()
	for p := range r.armed {
		if p.isFresh(now) && p.topics.Covers(pattern) {
			return true
		}
	}
	return false
}

// Able returns the topics of the Able pages, each once, at most n.
func (r *Registry) Able(n int) (all []store.Filter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, seen := time.Now(), make(map[string]bool)
	for p := range r.armed {
		if name := p.topics.String(); len(all) < n && !seen[name] && p.isFresh(now) {
			seen[name] = true
			all = append(all, p.topics)
		}
	}
	return all
}

// Seen returns the topics of the pages that a person sees, by owner, each once, at most n in all.
func (r *Registry) Seen(n int) map[string][]store.Filter {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, all := time.Now(), make(map[string][]store.Filter)
	for owner, pages := range r.visible {
		seen := make(map[string]bool)
		for p := range pages {
			if name := p.topics.String(); n > 0 && !seen[name] && p.isFresh(now) {
				seen[name] = true
				all[owner] = append(all[owner], p.topics)
				n--
			}
		}
	}
	return all
}

// Settled reports whether missing pages prove anything: not for three heartbeats after the Registry was made, or after
// half of the Able pages, or more, have gone within a heartbeat. Between two such times they do for at least three
// heartbeats, so pages that come and go delay the truth, and cannot hide it.
func (r *Registry) Settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !time.Now().Before(r.settled)
}

// Count returns the number of pages by Hearing.
func (r *Registry) Count() map[Hearing]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count, now := make(map[Hearing]int), time.Now()
	for p := range r.pages {
		count[p.hearing(now)]++
	}
	return count
}
