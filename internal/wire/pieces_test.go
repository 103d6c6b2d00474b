package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"tidings/internal/sse"
	"tidings/internal/wire"
	"tidings/store"
)

// TestPieces: data written in pieces, in a page and in an envelope, is what it would be as a whole, wherever a piece
// ends.
func TestPieces(t *testing.T) {
	text := strings.Repeat("a\u00e9\u2028\x01\"\\\U0001F600\r\n", 5_000)
	value := `{ "a b" : [ 1.50 , "x \" [ \u0041" ] ,` + strings.Repeat(" \n", 20_000) + `"b":null }`
	for _, tt := range []struct{ name, contentType, data string }{
		{"text", "text/plain", text},
		{"text, a byte further", "text/plain", "x" + text},
		{"text, two bytes further", "text/plain", "xy" + text},
		{"text that is not UTF-8", "text/plain", "\xff" + strings.Repeat("\x80", 40_000)},
		{"empty text", "text/plain", ""},
		{"JSON", "application/json", value},
		{"a JSON string", "application/json", `" \" "`},
		{"bytes", "image/png", strings.Repeat("\x00\xff", 33_333)},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := store.Event{ID: store.MaxID, Topic: "a", Type: "<t>", ContentType: tt.contentType,
				Data: []byte(tt.data), Attributes: []store.Attribute{{Name: "n", Value: "1"}}}
			var page bytes.Buffer
			out := wire.NewBodyWriter(&page)
			out.Event(&e)
			if err := out.Close(); err != nil {
				t.Fatal(err)
			}
			checkData(t, page.Bytes(), &e)
			frame, err := sse.NewDecoder(bytes.NewReader(wire.AppendCloudEventFrame(nil, &e)),
				1<<26).Next()
			if err != nil {
				t.Fatal(err)
			}
			checkData(t, frame.Data, &e)
		})
	}
}

// checkData compares the data in JSON with that of its event.
func checkData(t *testing.T, text []byte, e *store.Event) {
	t.Helper()
	var got struct {
		Type   string
		Data   json.RawMessage
		Base64 string `json:"data_base64"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %.200q", err, text)
	}
	want, data := "", string(got.Data)
	switch {
	case e.ContentType == "text/plain":
		var quoted string
		if err := json.Unmarshal(got.Data, &quoted); err != nil {
			t.Fatal(err)
		}
		want, data = strings.ToValidUTF8(string(e.Data), "\ufffd"), quoted
		if strings.HasPrefix(want, "\ufffd") { // one for each byte
			want = strings.Repeat("\ufffd", len(e.Data))
		}
	case e.ContentType == "application/json":
		var compact bytes.Buffer
		if err := json.Compact(&compact, e.Data); err != nil {
			t.Fatal(err)
		}
		want = compact.String()
	case len(e.Data) > 0:
		want, data = base64.StdEncoding.EncodeToString(e.Data), got.Base64
	case data == "null":
		data = ""
	}
	if data != want || got.Type != e.Type {
		t.Errorf("got %d bytes %.60q, want %d bytes %.60q", len(data), data, len(want), want)
	}
}
