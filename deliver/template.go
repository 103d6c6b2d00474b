package deliver

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tidings/internal/wire"
)

// maxTemplate bounds a template that is set, in bytes. Older releases stored it with escapes, and so longer.
const maxTemplate = 8 << 10

// placeholder is replaced by a value when a message is made.
var placeholder = regexp.MustCompile(`\{\{\s*([a-z]+)((?:\.[^\s.{}]+)*)\s*\}\}`)

// places are all placeholders, and whether they reveal what a publisher wrote beyond the topic's name.
var places = map[string]bool{"title": false, "text": false, "link": false, "count": false, "topic": false, "id": false,
	"time": false, "type": true, "data": true}

// checkTemplate returns an *InvalidError unless the template can be filled.
func (r *record) checkTemplate() error {
	if r.Template == nil {
		return nil
	}
	text := r.textTemplate()
	switch {
	case r.Kind == Custom:
		return r.checkObject()
	case text == "" && string(r.Template) == `""`:
		r.Template = nil // as if never set
		return nil
	case text == "":
		return &InvalidError{"template", `expected a text, such as "{{count}} in {{topic}}"`}
	}
	return r.checkPlaces(text)
}

// checkPlaces checks the placeholders of a text.
func (r *record) checkPlaces(text string) error {
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		tells, known := places[m[1]]
		known = known || m[1] == "secret" && r.Kind == Custom
		switch {
		case !known, (m[1] == "data") != (m[2] != ""):
			return &InvalidError{"template", fmt.Sprintf("unknown placeholder %.64q", m[0])}
		case tells && r.Detail != Fields:
			return &InvalidError{"template", fmt.Sprintf(`%.64q needs event data: set "detail": %q`, m[0],
				Fields)}
		}
	}
	if rest := placeholder.ReplaceAllString(text, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
		return &InvalidError{"template", "{{ or }} outside a placeholder such as {{topic}} or {{data.number}}"}
	}
	return nil
}

// textTemplate is the template if it is a text, else "".
func (p *Recipient) textTemplate() (text string) {
	_ = json.Unmarshal(p.Template, &text)
	return text
}

// fill replaces the placeholders of a text.
func (n *note) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(place string) string {
		m := placeholder.FindStringSubmatch(place)
		return n.place(m[1], m[2])
	})
}

// place is the value of a placeholder. The path begins with a dot.
func (n *note) place(name, path string) string {
	switch name {
	case "title":
		return n.title
	case "text":
		return n.text
	case "link":
		return n.link
	case "count":
		return strconv.Itoa(n.count)
	case "topic":
		return n.topic
	case "time":
		return n.time
	case "secret":
		return n.secret
	}
	switch {
	case n.newest == nil:
	case name == "id":
		return n.newest.ID.String()
	case !n.fields:
	case name == "type":
		return plain(n.newest.Type, maxValue)
	case name == "data":
		return scalar(n.raw(path))
	}
	return ""
}

// raw is the newest event's value at a path of members and, in lists, indexes; nil for none.
func (n *note) raw(path string) json.RawMessage {
	steps := strings.Split(path[1:], ".")
	value := object(n.newest).Get(steps[0])
	for _, step := range steps[1:] {
		var list []json.RawMessage
		if i, err := strconv.Atoi(step); err == nil && json.Unmarshal(value, &list) == nil && i >= 0 && i < len(list) {
			value = list[i]
			continue
		}
		inner, err := wire.SplitObject(value)
		if err != nil {
			return nil
		}
		value = inner.Get(step)
	}
	return value
}
