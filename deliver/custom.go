package deliver

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// custom is any service that takes JSON in its own form, given by a template. If the template does not contain the
// secret, the secret is sent as a bearer token (RFC 6750). Only the status of an answer counts.
var custom = &chat{
	t: traits{takes: append([]string{"secret"}, texts...), bearer: true, key: checkVisible, pace: 3 * time.Second},
	request: func(to *target, n *note, _ time.Time) (string, any) {
		template, err := parseTemplate(to.recipient.Template)
		if err != nil {
			return to.URL, nil // it was valid when it was set
		}
		n.text, n.secret = shorten(n.text, 2500), to.Secret
		return to.URL, n.fillAll(template)
	},
	header: func(to *target, h http.Header) {
		if to.Secret != "" && !usesSecret(&to.recipient) {
			h.Set("Authorization", "Bearer "+to.Secret)
		}
	},
	judge: func(a *answer, _ []byte) {
		switch a.status {
		case http.StatusUnauthorized, http.StatusForbidden:
			a.config = true
		case http.StatusTooManyRequests:
			if a.retryAfter == 0 {
				a.retryAfter = time.Minute
			}
		}
	},
}

func usesSecret(p *Recipient) bool {
	template, err := parseTemplate(p.Template)
	return err == nil && hasSecret(template)
}

// hasSecret reports whether a string in a decoded JSON value contains the secret's placeholder.
func hasSecret(value any) bool {
	switch v := value.(type) {
	case string:
		return slices.ContainsFunc(placeholder.FindAllStringSubmatch(v, -1),
			func(m []string) bool { return m[1] == "secret" })
	case []any:
		return slices.ContainsFunc(v, hasSecret)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), hasSecret)
	}
	return false
}

// parseTemplate returns the JSON object of a template.
func parseTemplate(text []byte) (template map[string]any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&template)
	return template, err
}

// checkObject returns an *InvalidError unless the template is a JSON object whose strings can be filled.
func (r *record) checkObject() error {
	template, err := parseTemplate(r.Template)
	if err != nil || template == nil {
		return &InvalidError{"template", `expected an object such as {"text": "{{text}}"}`}
	}
	return r.checkValue(template)
}

func (r *record) checkValue(value any) error {
	var err error
	switch v := value.(type) {
	case string:
		err = r.checkPlaces(v)
	case []any:
		for i := 0; i < len(v) && err == nil; i++ {
			err = r.checkValue(v[i])
		}
	case map[string]any:
		for name, inner := range v {
			if strings.Contains(name, "{{") {
				return &InvalidError{"template", "member names cannot contain placeholders"}
			}
			if err = r.checkValue(inner); err != nil {
				break
			}
		}
	}
	return err
}

// fillAll fills the strings of a JSON value. A string that is a single placeholder becomes a number or a boolean if the
// value is one.
func (n *note) fillAll(value any) any {
	switch v := value.(type) {
	case string:
		if m := placeholder.FindStringSubmatch(v); m != nil && m[0] == v {
			return n.value(m[1], m[2])
		}
		return n.fill(v)
	case []any:
		filled := make([]any, len(v))
		for i := range v {
			filled[i] = n.fillAll(v[i])
		}
		return filled
	case map[string]any:
		filled := make(map[string]any, len(v))
		for name, inner := range v {
			filled[name] = n.fillAll(inner)
		}
		return filled
	}
	return value
}

// value is place as a JSON value.
func (n *note) value(name, path string) any {
	if name == "count" {
		return n.count
	}
	text := n.place(name, path)
	if name == "data" && n.newest != nil && n.fields {
		if raw := n.raw(path); len(raw) > 0 && raw[0] != '"' && text != "" {
			return raw
		}
	}
	return text
}
