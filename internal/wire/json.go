package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep arrays and objects may nest in the JSON of an event. Readers have their own limits, and one
// event beyond them would cost them its whole page, where it is nested three levels deeper: PHP's is 512, Python's
// about 1,000.
const MaxDepth = 128

// checkJSON accepts one JSON text (RFC 8259): valid UTF-8 throughout, no lone surrogates, no byte
// order mark, not nested deeper than MaxDepth. It returns an *Error.
func checkJSON(data []byte) error { return checkText(data, false) }

// checkText is checkJSON, but with deep it accepts deeper nesting.
func checkText(data []byte, deep bool) error {
	if !deep && isDeep(data) {
		return tooDeep()
	}
	if jsontext.Value(data).IsValid(anyNames) {
		return nil
	}
	return explain(data)
}

// anyNames makes a decoder accept names that occur twice. Objects must refuse them: in data they are the publisher's
// concern.
var anyNames = jsontext.AllowDuplicateNames(true)

// newDecoder returns a decoder of JSON texts.
func newDecoder(r io.Reader) *jsontext.Decoder {
	return jsontext.NewDecoder(r, anyNames)
}

// isDeep reports whether a text that begins like JSON nests more than MaxDepth arrays and objects. It checks nothing
// else, so it costs little, whatever the text is.
func isDeep(text []byte) bool {
	if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= MaxDepth {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return false
}

func tooDeep() error {
	return &Error{Code: "json-too-deep",
		Detail: fmt.Sprintf("JSON nests at most %d levels", MaxDepth)}
}

var byteOrderMark = []byte("\ufeff")

// explain returns why checkJSON does not accept a text.
func explain(data []byte) error {
	if len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
		return &Error{Code: "empty-body", Detail: "expected a JSON text"}
	}
	if bytes.HasPrefix(data, byteOrderMark) {
		return &Error{Code: "json-invalid", Offset: 1,
			Detail: "unexpected byte order mark: JSON begins without one (RFC 8259 §8.1)"}
	}
	var raw json.RawMessage
	e := &Error{Code: "json-invalid", Detail: "not a JSON text"}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &raw); errors.As(err, &syntax) {
		e.Detail, e.Offset = syntax.Error(), syntax.Offset
	} else if at := invalidUTF8(data); at >= 0 {
		e.Detail, e.Offset = "JSON must be UTF-8", int64(at)
	} else if at := loneSurrogate(data); at >= 0 {
		e.Detail, e.Offset = `a \u escape names half of a surrogate pair`, int64(at)
	}
	return e
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

// loneSurrogate returns the offset of the first \u escape in a valid JSON text that is one half of a surrogate pair
// without the other (RFC 8259 §8.2), -1 if there is none.
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
			at += 2 // another escape; its second byte may itself be a backslash
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

// Marshal returns v as compact JSON, with no more escapes than JSON requires: json.Marshal would escape for HTML, and
// change the bytes of data. v must be a value that can be marshaled.
func Marshal(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// ASCII returns the JSON with escapes for everything that is not printable ASCII: the same value in bytes that every
// HTTP version accepts in a header. HTTP/2 drops a header with a DEL, which JSON leaves as it is.
func ASCII(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < utf8.RuneSelf && r != '\x7f':
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
