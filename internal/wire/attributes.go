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

// MaxAttributesBytes bounds the names and values of an event's attributes, in every mode: it is the
// room that HTTP headers have, and a page counts on it.
const MaxAttributesBytes = 16 << 10

// ParseAttributes reads the context attributes of an event in binary mode: the ce- headers among
// those of its request (CloudEvents HTTP 1.0.2 §3.1.3). It returns an *Error.
func ParseAttributes(headers map[string][]string) (Object, error) {
	attributes := make(Object)
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
		attributes[attribute], _ = json.Marshal(value)
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

// checkAttributes holds the attributes against CloudEvents 1.0.2 §3.
func checkAttributes(attributes Object) error {
	text := func(name string) string {
		v, _ := attributes.Text(name) // what is no string is refused as an empty one
		return v
	}
	for _, name := range []string{"id", "source", "type"} {
		if text(name) == "" {
			return invalidAttribute(name,
				fmt.Sprintf("attribute %q is required and not empty", name))
		}
	}
	if v := text("specversion"); v != "1.0" {
		return invalidAttribute("specversion",
			fmt.Sprintf(`expected specversion "1.0", got %.16q`, v))
	}
	if err := CheckType(text("type")); err != nil {
		return err
	}
	if _, err := url.Parse(text("source")); err != nil {
		return invalidAttribute("source", "source is a URI reference")
	}
	for name, value := range attributes {
		if err := checkAttribute(name, value); err != nil {
			return err
		}
	}
	if raw, ok := attributes["time"]; ok {
		if _, err := rfc3339.Parse(text("time")); err != nil {
			return invalidAttribute("time", fmt.Sprintf("%v, got %.64s", err, raw))
		}
	}
	if _, ok := attributes["dataschema"]; ok {
		if u, err := url.Parse(text("dataschema")); err != nil || !u.IsAbs() {
			return invalidAttribute("dataschema", "dataschema is an absolute URI")
		}
	}
	if _, ok := attributes["subject"]; ok && text("subject") == "" {
		return invalidAttribute("subject", "subject is not empty if it is there")
	}
	return nil
}

// checkAttribute: names are lower-case letters and digits, and not those of the data and its
// content type, which are no attributes here; a value in JSON is a string, a boolean or an integer
// of 32 bits (CloudEvents 1.0.2 §3.1).
func checkAttribute(name string, value json.RawMessage) error {
	plain := func(c rune) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	if name == "" || len(name) > store.MaxNameBytes ||
		strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
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

// checkString: strings have no control characters and no noncharacters (CloudEvents 1.0.2 §3.1). Half
// surrogate pairs are refused with the JSON.
func checkString(name string, value json.RawMessage) error {
	text, _ := unquote(value) // what is no string has no characters
	for _, c := range text {
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
