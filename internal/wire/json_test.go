package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tidings/internal/wire"
)

// TestMarshalKeepsBytes: json.Marshal would write < and > as escapes, even in raw JSON.
func TestMarshalKeepsBytes(t *testing.T) {
	const want = `{"a":"<&>"}`
	if got := wire.Marshal(map[string]string{"a": "<&>"}); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestASCII: the same JSON value, without anything that a header may not contain.
func TestASCII(t *testing.T) {
	const value = "a\x00\x1f \x7f\u0080é\u2028\uffff😀\"\\\xff"
	text := wire.ASCII(wire.Marshal(value))
	for _, b := range text {
		if b < ' ' || b > '~' {
			t.Errorf("byte %#x in %q", b, text)
		}
	}
	var got string
	if err := json.Unmarshal(text, &got); err != nil || got != strings.ToValidUTF8(value, "\ufffd") {
		t.Errorf("%q is %q (%v), want %q", text, got, err, value)
	}
}
