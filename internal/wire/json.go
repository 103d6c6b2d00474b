package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// checkJSON accepts one JSON text (RFC 8259): valid UTF-8 throughout, no lone surrogates, no byte
// order mark. It returns an *Error.
func checkJSON(data []byte) error {
	if len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
		return &Error{Code: "empty-body", Detail: "expected a JSON text"}
	}
	if !json.Valid(data) {
		var raw json.RawMessage
		e := &Error{Code: "json-invalid", Detail: "not a JSON text"}
		var syntax *json.SyntaxError
		if err := json.Unmarshal(data, &raw); errors.As(err, &syntax) {
			e.Detail, e.Offset = syntax.Error(), syntax.Offset
		}
		return e
	}
	if at := invalidUTF8(data); at >= 0 {
		return &Error{Code: "json-invalid", Offset: int64(at),
			Detail: "JSON is UTF-8, and this is not"}
	}
	if at := loneSurrogate(data); at >= 0 {
		return &Error{Code: "json-invalid", Offset: int64(at),
			Detail: `a \u escape names half of a surrogate pair`}
	}
	return nil
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

// Marshal returns v as compact JSON, with no more escapes than JSON asks for: json.Marshal would
// escape for HTML, and change the bytes of data. v must be a value that can be marshaled.
func Marshal(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
