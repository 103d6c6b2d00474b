package deliver

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"tidings/store"
)

const (
	// ringUrgency is the urgency of what cannot wait, and ringTopic its push topic: a ring replaces only the previous
	// ring, and pushes of other events replace none.
	ringUrgency = "high"
	ringTopic   = "tidings-alert"

	// ringLead is how far a device with a ring goes ahead of others, of which there may be a hundred thousand.
	ringLead = time.Hour

	// readRings is how many answers to alerts are read at once.
	readRings = 256
)

// rings reports whether an event is pushed at once: a pushed step, or a report that nobody hears a rule whose first
// step is pushed (docs/ALERTS.md).
func rings(e *store.Event) bool {
	if e.Type != typeStep && e.Type != typeUnheard || !strings.HasPrefix(e.Topic, alertsOf) {
		return false
	}
	var said struct {
		Push bool `json:"push"`
	}
	return json.Unmarshal(e.Data, &said) == nil && said.Push
}

// ring has a device pushed to at once, however recently it was: of an event found at one position, and stored after
// another. A device whose push service fails still waits for its retry. The caller holds mu.
func (p *Devices) ring(d *device, id, from store.ID, now time.Time) {
	if !d.at.Before(id) {
		return // already checked for the device's last push
	}
	if d.due == nil {
		d.due = &dueDevice{after: store.Later(d.at, from), next: now}
		p.schedule(d)
	}
	due := d.due
	due.newest, due.ring = store.Later(due.newest, id), store.Later(due.ring, id)
	if due.attempts > 0 {
		return
	}
	if due.next = now.Add(-ringLead); due.in != nil {
		heap.Fix(due.in, due.place)
	}
}

// readRings reads which of the ringing events, between a device's position and the notice's, are still wanted. The
// error is the log's.
func (p *Devices) readRings(d *device, n *notice, filter store.Filter) error {
	p.mu.Lock()
	after := d.at
	if d.due != nil {
		after = store.Later(store.Later(after, d.due.after), d.due.rang)
	}
	none := !after.Before(p.rung) && !p.at.Before(n.told) // everything up to there is known
	p.mu.Unlock()
	answers := answersTo(filter)
	if none || answers.IsZero() {
		return nil
	}
	n.rings = nil
	for reader := p.log.NewReader(answers, after); ; {
		page, err := reader.Next(readRings)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			if rings(&e) && !n.told.Before(e.ID) && p.o.Wants(&e) {
				n.rings = append(n.rings, e)
			}
		}
		if !page.Through.Before(n.told) {
			return nil
		}
	}
}

// answersTo matches the topics of the answers to alerts of topics.
func answersTo(filter store.Filter) store.Filter {
	var patterns []string
	for _, pattern := range filter.Patterns() {
		if _, err := store.NewFilter(alertsOf + pattern); err == nil { // it may be too long
			patterns = append(patterns, alertsOf+pattern)
		}
	}
	answers, err := store.NewFilter(patterns...)
	if err != nil {
		return store.Filter{} // too much in all, or nothing
	}
	return answers
}

// hush removes what rings from the other events of a notice, and all other events if its owner sees them.
func (n *notice) hush(seen bool) {
	if seen {
		n.count, n.events = 0, nil
	}
	for _, ring := range n.rings {
		for i := range n.events {
			if n.events[i].ID == ring.ID { // answers are among the device's topics
				n.events, n.count = slices.Delete(n.events, i, i+1), n.count-1
				break
			}
		}
	}
}

// writeRings puts what rings before title and body.
func (n *notice) writeRings(words *language) {
	title, lines, alerts := "", []string(nil), 0
	list, _ := groups(n.rings, false)
	for _, g := range list {
		switch count := len(g.alerts); {
		case g.hearing != nil:
			lines = append(lines, fmt.Sprintf(words.deaf, plain(g.hearing.Rule, maxValue)))
		case count == 1:
			lines = append(lines, fmt.Sprintf(words.ring, g.topic))
		default:
			lines = append(lines, fmt.Sprintf(words.rings, g.topic, count))
		}
		alerts += len(g.alerts)
	}
	if len(lines) == 1 || alerts == 0 {
		title, lines = lines[0], lines[1:]
	} else {
		title = fmt.Sprintf(words.waiting, alerts)
	}
	if more := len(lines) - maxTopics; more > 0 {
		lines = append(lines[:maxTopics], fmt.Sprintf(words.more, more))
	}
	for _, line := range []string{n.title, n.body} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	n.title, n.body = title, strings.Join(lines, "\n")
}

// last is the newest event of a notice.
func (n *notice) last() *store.Event {
	var last *store.Event
	for _, list := range [...][]store.Event{n.events, n.rings} {
		if len(list) > 0 && (last == nil || last.ID.Before(list[len(list)-1].ID)) {
			last = &list[len(list)-1]
		}
	}
	return last
}

// shift is the page where alerts are claimed: the console's, if the device's own page has the same origin, because
// browsers open no other. Else it is the device's.
func shift(console, page string) string {
	a, err := url.Parse(console)
	b, failed := url.Parse(page)
	if err != nil || failed != nil || console == "" || a.Scheme != b.Scheme || a.Host != b.Host {
		return page
	}
	return strings.TrimSuffix(console, "/") + "/#/shift"
}
