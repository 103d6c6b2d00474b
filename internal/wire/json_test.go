package wire_test

import (
	"testing"

	"tidings/internal/wire"
)

// TestMarshalKeepsBytes: json.Marshal would write < and > as escapes, of raw JSON too.
func TestMarshalKeepsBytes(t *testing.T) {
	const want = `{"a":"<&>"}`
	if got := wire.Marshal(map[string]string{"a": "<&>"}); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
