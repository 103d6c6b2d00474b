package deliver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tidings/internal/webpush"
	"tidings/internal/wire"
	"tidings/store"
)

const (
	// pushTTL is how long a push service keeps a message for an absent device, and how long it is retried here.
	pushTTL = 24 * time.Hour

	// foldDevices is how many of the newest events a message names the topics of.
	foldDevices = 64

	// maxUnread is the limit to which unread events are counted.
	maxUnread = 1000

	// viewPace is how long a device waits while its owner has a page in view, if a read mark will show whether they
	// have read.
	viewPace = pushPace

	// pushTopic makes a message replace an undelivered earlier one (RFC 8030 §5.4), and the one on the screen.
	pushTopic = "tidings"
)

// outcome is the outcome of a push.
type outcome struct {
	kind outcomeKind
	told store.ID // up to here everything was sent, or need not be; viewed: nothing rings
	a    answer   // of the push service

	asked  bool // the push service was asked
	prompt bool // and answered within answersWithin
}

type outcomeKind int

const (
	pushSpared outcomeKind = iota // nothing to send
	pushViewed                    // perhaps later: a page is in view
	pushSent
	pushFailed
	pushGone    // the push service no longer knows the device
	pushExpired // the grant has ended
)

// push sends a device what is due. It holds nothing while it waits for the push service.
func (p *Devices) push(d *device) outcome {
	end, err := p.turns.take(p.ctx)
	if err != nil {
		return outcome{kind: pushFailed} // nobody looks at it
	}
	o, made := p.prepare(d)
	end()
	if made != nil {
		began := time.Now()
		o.asked, o.a = true, p.post(p.ctx, made)
		o.prompt = o.a.status != 0 && time.Since(began) < answersWithin
		o.judge()
	}
	return o
}

// prepared is a message ready to send.
type prepared struct {
	endpoint string
	urgency  string
	topic    string
	body     []byte
}

// prepare makes the message of what is due to a device, or says why there is none.
func (p *Devices) prepare(d *device) (outcome, *prepared) {
	p.mu.Lock()
	at, topics, mark, owner, sealed := d.at, d.topics, d.mark, d.owner, d.sealed
	language, urgency, ended := d.language, d.urgency, d.ended(time.Now(), p.o.Grace)
	p.mu.Unlock()
	if ended {
		return outcome{kind: pushExpired}, nil
	}
	filter, err := store.NewFilter(strings.Fields(topics)...)
	if err != nil {
		return refusedPush(err, 0), nil
	}
	n, seen, err := p.compose(d, filter, at, owner, mark)
	if err != nil {
		return refusedPush(err, logTrouble), nil
	}
	if kind := n.spares(seen, mark != ""); kind != pushSent {
		return outcome{kind: kind, told: n.told}, nil
	}
	if len(n.rings) > 0 {
		urgency = ringUrgency
	}
	text, err := p.o.Key.Open(sealed, devicePurpose(d.id))
	if err != nil {
		return refusedPush(err, lockedEvery), nil
	}
	to, err := parseAddress(text)
	if err != nil {
		return refusedPush(err, 0), nil
	}
	n.write(language)
	if len(n.rings) > 0 {
		to.page = shift(p.o.Console, to.page)
	}
	body, err := to.target.Encrypt(n.payload(&to, language))
	if err != nil {
		return refusedPush(err, 0), nil
	}
	return outcome{told: n.told}, &prepared{to.endpoint, urgency, n.topic(), body}
}

// compose finds out what to send to a device, and whether its owner has a page in view: then events are only counted,
// unless something rings. The error is the log's.
func (p *Devices) compose(d *device, filter store.Filter, at store.ID, owner, mark string) (n *notice, seen bool,
	err error) {
	if n, err = p.count(filter, at, owner, mark); err != nil {
		return nil, false, err
	}
	seen = p.o.Visible(owner, filter)
	if !seen {
		err = p.readNewest(n, filter)
	}
	if err == nil {
		err = p.readRings(d, n, filter) // after the others, which may come further
	}
	if err == nil && seen && len(n.rings) > 0 {
		if err = p.readNewest(n, filter); err == nil {
			err = p.readRings(d, n, filter)
		}
	}
	return n, seen, err
}

// spares says whether to send the notice (pushSent), given whether its owner sees a page and whether they have a read
// mark.
func (n *notice) spares(seen, marks bool) outcomeKind {
	switch {
	case len(n.rings) > 0:
		n.hush(seen && !marks)
		return pushSent
	case n.count == 0 || seen && !marks:
		return pushSpared
	case seen:
		return pushViewed
	}
	return pushSent
}

// refusedPush is a push that could not be made here. It may be possible after a while, unless that is 0.
func refusedPush(err error, after time.Duration) outcome {
	return outcome{kind: pushFailed, a: answer{failure: clean(err.Error()), retryAfter: after, config: after == 0}}
}

// judge interprets an answer (RFC 8030 §5 and §7.3).
func (o *outcome) judge() {
	switch o.kind = pushFailed; {
	case o.a.ok():
		o.kind = pushSent
	case o.a.status == http.StatusNotFound || o.a.status == http.StatusGone:
		o.kind = pushGone
	case o.a.status != 0:
		o.a.failure = fmt.Sprintf("the push service answered %d %s", o.a.status, http.StatusText(o.a.status))
		if o.a.status == http.StatusForbidden || o.a.status == http.StatusUnauthorized {
			o.a.failure += ": it rejects the server's key or its --push-contact for this device"
		}
	}
}

// post makes the request.
func (p *Devices) post(ctx context.Context, m *prepared) answer {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	key, err := p.vapid(ctx)
	if err != nil {
		return answer{failure: clean(err.Error()), retryAfter: lockedEvery}
	}
	if !p.o.May() {
		<-p.ctx.Done() // Close is about to be called
		return answer{failure: "another node is sending now"}
	}
	a, _ := post(ctx, p.o.Guard, p.client, m.endpoint, m.body, func(req *http.Request) error {
		webpush.Mark(req.Header)
		req.Header.Set("User-Agent", agentOf(p.o.Version))
		req.Header.Set("TTL", strconv.Itoa(int(pushTTL/time.Second)))
		req.Header.Set("Urgency", m.urgency)
		req.Header.Set("Topic", m.topic)
		return key.Sign(req, time.Now())
	})
	return a
}

// finish records the outcome of a push. The caller holds mu.
func (p *Devices) finish(d *device, o outcome) {
	if o.kind != pushViewed || !d.due.kept {
		defer p.note(d)
	}
	switch o.kind {
	case pushGone:
		p.counts.Gone++
		p.o.Logger.Info("device removed: its push service reports it gone", "device", d.id.String(),
			"service", d.service, "status", o.a.status)
		p.take(d)
	case pushExpired:
		if d.ended(time.Now(), p.o.Grace) {
			p.counts.Expired++
			p.take(d)
		} else { // renewed meanwhile
			p.schedule(d)
		}
	case pushViewed:
		d.due.next, d.due.kept, d.due.rang = time.Now().Add(viewPace), true, o.told
		if d.due.rang.Before(d.due.ring) {
			d.due.next = time.Now().Add(-ringLead)
		}
		p.schedule(d)
	case pushFailed:
		p.failed(d, o.a)
	default:
		pause := time.Now()
		if o.kind == pushSent {
			p.counts.Sent++
			d.sent = pause.UnixMilli()
			pause = pause.Add(pushPace)
		} else {
			p.counts.Spared++
		}
		p.pass(d, o.told, pause)
	}
}

// pass records that a device has everything up to an ID; what has come since waits for a while. The caller holds mu.
func (p *Devices) pass(d *device, told store.ID, pause time.Time) {
	newest, ring := d.due.newest, d.due.ring
	d.at, d.due = store.Later(d.at, told), nil
	if d.at.Before(newest) {
		d.due = &dueDevice{after: d.at, newest: newest, next: pause}
		if d.at.Before(ring) {
			d.due.ring, d.due.next = ring, time.Now().Add(-ringLead)
		}
		p.schedule(d)
	}
}

// failed records a failure, and when to retry; after pushTTL the message is no use to anybody. The caller holds mu.
func (p *Devices) failed(d *device, a answer) {
	due, now := d.due, time.Now()
	p.counts.Failed++
	if due.attempts == 0 {
		due.first = now
	}
	due.attempts, due.answered, due.failure, due.kept = due.attempts+1, a.status, a.failure, true
	wait := backoff(due.attempts)
	if a.config {
		wait = jitter(maxBackoff)
	}
	due.next = now.Add(max(wait, a.retryAfter))
	if now.Sub(p.told) >= lockedEvery {
		p.told = now
		p.o.Logger.Warn("pushes failing, will retry", "device", d.id.String(), "service", d.service,
			"error", a.failure)
	}
	if now.Sub(due.first) >= pushTTL {
		p.pass(d, p.at, now)
		return
	}
	p.schedule(d)
}

// notice is a message to a device.
type notice struct {
	after  store.ID // it covers events after this
	told   store.ID
	count  int           // of events, to maxUnread+1
	events []store.Event // the newest of them, oldest first
	badge  *int          // unread events of the read mark; nil without one
	rings  []store.Event // sent whatever the device has had, and whoever sees a page

	title, body string
}

// count counts the events for a device. The error is the log's.
func (p *Devices) count(filter store.Filter, after store.ID, owner, mark string) (n *notice, err error) {
	n = &notice{after: after, told: p.log.Head()}
	if mark != "" {
		m, err := p.log.Mark(owner, mark)
		switch {
		case err == nil:
			if m.Topics.Covers(filter) { // else it has passed topics that it does not cover
				n.after = store.Later(after, m.ID)
			}
			if !filter.Covers(m.Topics) { // the owner's token need not cover them either
				break
			}
			unread, err := p.log.Count(m.Topics, m.ID, maxUnread)
			if err != nil {
				return nil, err
			}
			n.badge = &unread
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt):
			return nil, err
		}
	}
	n.count, err = p.log.Count(filter, n.after, maxUnread+1)
	return n, err
}

// readNewest reads the newest events of a notice, if there are any. The error is the log's.
func (p *Devices) readNewest(n *notice, filter store.Filter) error {
	after := n.after
	switch {
	case n.count == 0:
		return nil
	case n.count > foldDevices:
		from, err := p.log.Newest(filter, store.MaxID, foldDevices, store.MaxPageBytes)
		if err != nil {
			return err
		}
		after = store.Later(after, from)
	}
	for reader := p.log.NewReader(filter, after); len(n.events) < foldDevices; {
		page, err := reader.Next(foldDevices - len(n.events))
		if err != nil {
			return err
		}
		for i := range page.Events {
			page.Events[i].Data = nil // nobody is shown it
		}
		n.events = append(n.events, page.Events...)
		if !page.Through.Before(p.log.Head()) {
			break
		}
	}
	if len(n.events) == 0 { // trimmed meanwhile
		n.count = 0
		return nil
	}
	n.count = max(n.count, len(n.events))
	n.told = store.Later(n.told, n.events[len(n.events)-1].ID)
	return nil
}

// write makes title and body: what rings, how many events there are, and of which topics.
func (n *notice) write(language string) {
	words := languages[language]
	if len(n.events) > 0 {
		n.writeEvents(words)
	}
	if len(n.rings) > 0 {
		n.writeRings(words)
	}
}

// writeEvents makes title and body of what does not ring.
func (n *notice) writeEvents(words *language) {
	list, topics := groups(n.events, false)
	lines := words.lines(list, time.UTC)
	switch {
	case n.count <= len(n.events) && topics == 1:
		n.title, lines = lines[0], lines[1:]
	case n.count <= len(n.events):
		n.title = fmt.Sprintf(words.several, n.count, topics)
	case n.count > maxUnread:
		n.title = fmt.Sprintf(words.over, maxUnread)
		lines = topicsOf(n.events)
	default:
		n.title = fmt.Sprintf(words.many, n.count)
		lines = topicsOf(n.events)
	}
	if more := len(lines) - maxTopics; more > 0 {
		lines = append(lines[:maxTopics], fmt.Sprintf(words.more, more))
	}
	n.body = strings.Join(lines, "\n")
}

// topic is the push topic: the next message with it replaces this one.
func (n *notice) topic() string {
	if len(n.rings) > 0 {
		return ringTopic
	}
	return pushTopic
}

// topicsOf returns the topics of events, in the order of the first of each.
func topicsOf(events []store.Event) (topics []string) {
	seen := make(map[string]bool)
	for i := range events {
		if topic := topicOf(&events[i]); !seen[topic] {
			seen[topic] = true
			topics = append(topics, topic)
		}
	}
	return topics
}

// declared is a declarative push message (W3C Push API, "Declarative push messages"): browsers that know these show it
// by themselves, and sw.js shows it in others.
type declared struct {
	WebPush      int          `json:"web_push"`
	Notification notification `json:"notification"`
	Badge        *int         `json:"app_badge,omitempty"`
}

type notification struct {
	Title     string      `json:"title"`
	Body      string      `json:"body,omitempty"`
	Language  string      `json:"lang"`
	Navigate  string      `json:"navigate"`
	Tag       string      `json:"tag"`
	Renotify  bool        `json:"renotify"`  // a replacement rings again
	Timestamp int64       `json:"timestamp"` // of the newest event, Unix milliseconds
	Data      noticeState `json:"data"`
}

// noticeState lets a page find out which notifications it may close.
type noticeState struct {
	ID    store.ID `json:"id"` // of the newest event
	Count int      `json:"count"`
}

// payload is what is encrypted: at most webpush.MaxMessage bytes.
func (n *notice) payload(to *address, language string) []byte {
	last := n.last()
	return wire.Marshal(declared{8030, notification{Title: shorten(n.title, maxValue),
		Body: shorten(n.body, 4*maxValue), Language: language, Navigate: to.page, Tag: n.topic(),
		Renotify: true, Timestamp: last.Time().UnixMilli(),
		Data: noticeState{last.ID, n.count + len(n.rings)}}, n.badge})
}
