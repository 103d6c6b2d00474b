package wire

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"tidings/store"
)

// CheckType accepts what a publisher may give an event as its type: printable, so that it fits on a line of a stream,
// and not a type that a stream's client would take for something else. It returns an *Error.
func CheckType(t string) error {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if t == "" || len(t) > store.MaxNameBytes || !utf8.ValidString(t) ||
		strings.ContainsFunc(t, unprintable) {
		return &Error{Code: "type-invalid", Field: "type",
			Detail: fmt.Sprintf("a type is 1 to %d bytes of printable UTF-8", store.MaxNameBytes)}
	}
	if t == "error" || t == "open" || strings.HasPrefix(t, "tidings.") {
		return &Error{Code: "type-reserved", Field: "type",
			Detail: fmt.Sprintf(`type %q is reserved, as are "error", "open" and "tidings.*"`, t)}
	}
	return nil
}
