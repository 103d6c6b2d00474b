package wire

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tidings/internal/rfc3339"
	"tidings/store"
)

// MaxAttributesBytes bounds the names and values of an event's attributes, in every mode: it is the room that HTTP
// headers have, and a page relies on it.
const MaxAttributesBytes = 16 << 10

// ParseAttributes reads the context attributes of an event in binary mode: the ce- headers of its request
// (CloudEvents HTTP 1.0.2 §3.1.3). It returns an *Error.
func ParseAttributes(headers map[string][]string) (Object, error) {
	var attributes Object
	for name, values := range headers {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		if len(values) > 1 {
			return nil, &Error{Code: "cloudevent-invalid", Field: name,
				Detail: "an attribute has one header"}
		}
		value, ok := headerValue(values[0])
		if !ok {
			return nil, &Error{Code: "cloudevent-invalid", Field: name,
				Detail: "not a percent-encoded UTF-8 string (CloudEvents HTTP 1.0.2 §3.1.3.2)"}
		}
		text, _ := json.Marshal(value)
		attributes = append(attributes, Member{attribute, text})
	}
	return attributes, nil
}

// headerValue decodes an attribute's header: an optional pair of quotes, then percent-encoding.
func headerValue(v string) (string, bool) {
	if inner, ok := strings.CutPrefix(v, `"`); ok {
		if inner, ok = strings.CutSuffix(inner, `"`); ok {
			v = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(inner)
		}
	}
	v, err := url.PathUnescape(v)
	return v, err == nil && utf8.ValidString(v)
}

func invalidAttribute(name, detail string) error {
	return &Error{Code: "cloudevent-invalid", Field: name, Detail: detail}
}

// check checks the attributes of an event, some of which are given as texts, against CloudEvents 1.0.2 §3.
func (t *attributeTexts) check(attributes Object, id, source, typ string) error {
	for _, a := range []struct{ name, text string }{{"id", id}, {"source", source}, {"type", typ}} {
		if a.text == "" {
			return invalidAttribute(a.name,
				fmt.Sprintf("attribute %q is required and must not be empty", a.name))
		}
	}
	// a value that is not a string is refused like an empty one
	if v, _ := attributes.text("specversion"); string(v) != "1.0" {
		return invalidAttribute("specversion",
			fmt.Sprintf(`expected specversion "1.0", got %.16q`, v))
	}
	if err := CheckType(typ); err != nil {
		return err
	}
	if !t.valid[source] {
		if _, err := url.Parse(source); err != nil {
			return invalidAttribute("source", "source is a URI reference")
		}
		if t.valid == nil {
			t.valid = make(map[string]bool)
		}
		t.valid[source] = true
	}
	for _, m := range attributes {
		if err := checkAttribute(m.Name, m.Value); err != nil {
			return err
		}
	}
	return checkOptional(attributes)
}

// checkOptional checks the attributes that an event may have.
func checkOptional(attributes Object) error {
	if raw := attributes.Get("time"); raw != nil {
		text, _ := attributes.Text("time")
		if _, err := rfc3339.Parse(text); err != nil {
			return invalidAttribute("time", fmt.Sprintf("%v, got %.64s", err, raw))
		}
	}
	if attributes.Get("dataschema") != nil {
		text, _ := attributes.Text("dataschema")
		if u, err := url.Parse(text); err != nil || !u.IsAbs() {
			return invalidAttribute("dataschema", "dataschema is an absolute URI")
		}
	}
	if attributes.Get("subject") != nil {
		if text, _ := attributes.text("subject"); len(text) == 0 {
			return invalidAttribute("subject", "subject must not be empty")
		}
	}
	return nil
}

// checkAttribute checks one attribute: names are lower-case letters and digits, and not those of the data and its
// content type, which are not attributes here; a value in JSON is a string, a boolean or a 32-bit integer
// (CloudEvents 1.0.2 §3.1).
func checkAttribute(name string, value json.RawMessage) error {
	special := func(c rune) bool { return (c < 'a' || 'z' < c) && (c < '0' || '9' < c) }
	if name == "" || len(name) > store.MaxNameBytes || strings.ContainsFunc(name, special) {
		return invalidAttribute(name,
			fmt.Sprintf("attribute names are lower-case letters and digits, got %.64q", name))
	}
	if name == "data" || name == "datacontenttype" {
		return invalidAttribute(name, fmt.Sprintf(
			"%q is no attribute: data is the body, and its type the header Content-Type", name))
	}
	if err := checkString(name, value); err != nil {
		return err
	}
	switch value[0] {
	case '"', 't', 'f':
		return nil
	}
	if _, err := strconv.ParseInt(string(value), 10, 32); err != nil {
		return invalidAttribute(name, fmt.Sprintf(
			"attribute %q is a string, a boolean or an integer of 32 bits", name))
	}
	return nil
}

// checkString checks that strings have no control characters and no noncharacters (CloudEvents 1.0.2 §3.1). Half
// surrogate pairs are refused with the JSON.
func checkString(name string, value json.RawMessage) error {
	text, _ := unquote(value) // a value that is not a string has no characters
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		text = text[size:]
		if unicode.IsControl(c) || c&0xfffe == 0xfffe || 0xfdd0 <= c && c <= 0xfdef {
			return invalidAttribute(name,
				fmt.Sprintf("attribute %q has the character %U, which CloudEvents excludes", name, c))
		}
	}
	return nil
}

func checkAttributesSize(attributes []store.Attribute) error {
	size := 0
	for _, a := range attributes {
		size += len(a.Name) + len(a.Value)
	}
	if size > MaxAttributesBytes {
		return attributesTooLarge()
	}
	return nil
}

func attributesTooLarge() error {
	return &Error{Code: "body-too-large", MaxBytes: MaxAttributesBytes, Detail: fmt.Sprintf(
		"the attributes of an event have at most %d bytes", MaxAttributesBytes)}
}
