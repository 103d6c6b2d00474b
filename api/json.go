package api

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
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

// invalidUTF8 returns the offset of the first byte that is not part of a UTF-8 sequence, -1 if there is none.
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
