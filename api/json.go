package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"tidings/store"
)

// loneSurrogate returns the offset of the first \u escape in a valid JSON text that is half of a
// surrogate pair without the other (RFC 8259 §8.2), -1 if there is none.
func loneSurrogate(text []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(text[at:], '\\')
		if i < 0 {
			return -1
		}
		at += i
		r, ok := escaped(text[at:])
		switch {
		case !ok:
			at += 2 // another escape; its second byte may be a backslash itself
		case !utf16.IsSurrogate(r):
			at += 6
		default:
			low, ok := escaped(text[at+6:])
			if !ok || utf16.DecodeRune(r, low) == '\uFFFD' {
				return at
			}
			at += 12
		}
	}
}

// escaped reads a \uXXXX at the start of text.
func escaped(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

// invalidUTF8 returns the offset of the first byte that is not part of a UTF-8 sequence, -1 if
// there is none.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for at := 0; ; {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
}

// parseObject reads one JSON object, strictly: a member that is there twice is refused.
func parseObject(text []byte) (members, *problem) {
	if p := checkJSON(text); p != nil {
		return nil, p
	}
	// of valid JSON, so it only fails on another kind of value
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, &problem{code: "json-invalid", detail: "expected a JSON object"}
	}
	m := make(members)
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, &problem{code: "json-invalid", detail: err.Error()}
		}
		if _, twice := m[name.(string)]; twice {
			return nil, &problem{code: "member-invalid", field: name.(string),
				detail: fmt.Sprintf("member %.64q is there twice", name)}
		}
		m[name.(string)] = value
	}
	return m, nil
}

// members are the members of a JSON object, raw.
type members map[string]json.RawMessage

func writeJSON(w http.ResponseWriter, status int, mediaType string, body any) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // fails only when the client is gone
}

// marshal is v as compact JSON, with no more escapes than JSON asks for. v is of our own making and
// always can be.
func marshal(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// idOrNull is what an ID is in JSON when zero means that there is none.
func idOrNull(id store.ID) *store.ID {
	if id.IsZero() {
		return nil
	}
	return &id
}
