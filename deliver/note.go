package deliver

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tidings/internal/wire"
	"tidings/replay"
	"tidings/store"
)

// note is a message as people read it. Texts of publishers pass through plain first.
type note struct {
	title  string // one line
	text   string // without the link
	link   string // to the newest event in the console; "" if its URL is unknown
	count  int    // of events
	topic  string // of the newest; "" if the message is about no event
	time   string // of the newest
	newest *store.Event
	fields bool   // the newest event's content may be shown
	secret string // "" unless a template may have it
}

const (
	maxTopics = 10  // named in a text
	maxFields = 12  // of an event, in a text
	maxValue  = 300 // bytes of a field's value

	// invisible is a zero-width space: it separates what would mean something together.
	invisible = "\u200b"
)

// newNote writes a message; console is the console's URL.
func newNote(p *Recipient, console, name string, m *message) *note {
	words := languages[p.Language]
	n := &note{fields: p.Detail == Fields, count: len(m.events)}
	switch {
	case n.count == 0 && m.kind == "tidings.gap":
		gap, _ := m.data.(*replay.Gap)
		n.title = fmt.Sprintf(words.gap, plain(name, maxValue))
		if n.text = n.title; gap != nil {
			n.text += "\n" + gap.Requested + " … " + gap.Through.String()
		}
		return n
	case n.count == 0:
		n.title = fmt.Sprintf(words.test, plain(name, maxValue))
		n.text = n.title
		return n
	}
	zone, err := time.LoadLocation(p.TimeZone)
	if err != nil {
		zone = time.UTC // it existed when it was set
	}
	n.newest = &m.events[n.count-1]
	n.topic = topicOf(n.newest)
	n.time = fmt.Sprintf("%s (%s)", n.newest.Time().In(zone).Format(time.DateTime), zone)
	if console != "" {
		n.link = strings.TrimSuffix(console, "/") + "/#/log?" +
			url.Values{"topic": {n.topic}, "id": {linked(n.newest)}}.Encode()
		if hearingOf(n.newest) != nil {
			n.link = strings.TrimSuffix(console, "/") + "/#/shift"
		}
	}
	n.write(words, m.events, zone)
	if text := p.textTemplate(); text != "" {
		n.text, n.link = n.fill(text), "" // the template has the link, if it is wanted
	}
	return n
}

// write makes title and text.
func (n *note) write(words *language, events []store.Event, zone *time.Location) {
	list, topics := groups(events, n.fields)
	lines := words.lines(list, zone)
	n.title = lines[0]
	if topics > 1 && list[0].step == nil && list[0].hearing == nil { // nothing is more urgent
		n.title = fmt.Sprintf(words.several, n.count, topics)
	}
	if len(lines) > 1 {
		if more := len(lines) - maxTopics; more > 0 {
			lines = append(lines[:maxTopics], fmt.Sprintf(words.more, more))
		}
	}
	at := n.time
	if n.count > 1 {
		at = fmt.Sprintf(words.newest, at)
	}
	if len(lines) > 1 {
		at += ", " + n.topic
	}
	lines = append(lines, at)
	if n.fields {
		lines = append(lines, words.fields(n.newest)...)
	}
	n.text = strings.Join(lines, "\n")
}

// cut returns the text and the link in at most max bytes.
func (n *note) cut(max int) string {
	link := n.link
	if link != "" {
		link = "\n" + link
	}
	if len(link) > max/2 {
		link = ""
	}
	return shorten(n.text, max-len(link)) + link
}

// shorten cuts a text to at most max bytes, between two runes.
func shorten(text string, max int) string {
	const end = "…"
	if len(text) <= max {
		return text
	}
	cut := max - len(end)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + end
}

// plain makes a text of others safe to show: one line of at most max bytes, without control characters or changes of
// writing direction, that mentions nobody.
func plain(text string, max int) string {
	var b strings.Builder
	last := ' '
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			r = ' '
		case unicode.Is(unicode.Bidi_Control, r):
			continue
		}
		b.WriteRune(r)
		if r == '@' && !unicode.IsLetter(last) && !unicode.IsDigit(last) {
			b.WriteString(invisible) // an email address has something before it
		}
		last = r
	}
	return shorten(b.String(), max)
}

// object returns the members of an event's data; nil if it is not a JSON object.
func object(e *store.Event) wire.Object {
	mediaType, _, _ := mime.ParseMediaType(e.ContentType)
	if mediaType != "application/json" && !strings.HasSuffix(mediaType, "+json") {
		return nil
	}
	o, err := wire.SplitObject(e.Data)
	if err != nil {
		return nil
	}
	return o
}

// scalar is a JSON value as people read it; "" for objects, lists and null.
func scalar(value json.RawMessage) string {
	var any any
	if json.Unmarshal(value, &any) != nil {
		return ""
	}
	switch v := any.(type) {
	case string:
		return plain(v, maxValue)
	case bool, float64:
		return plain(string(value), maxValue) // a number stays as written
	}
	return ""
}
