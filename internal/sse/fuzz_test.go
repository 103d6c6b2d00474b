package sse_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/sse"
)

// FuzzRoundTrip: whatever is appended decodes to exactly one event, and its data is the same up to
// line ends. A field that cannot be sent is missing, never changed.
func FuzzRoundTrip(f *testing.F) {
	f.Add("01K5ZM", "order.created", []byte(`{"order":1001}`))
	f.Add("", "", []byte(""))
	f.Add("1\n", "a\rb", []byte("a\r\nb\rc\n\nid: 2\n\n"))
	f.Add(" 1", " a", []byte(" \r\r\n"))
	f.Fuzz(func(t *testing.T, id, eventType string, data []byte) {
		frame := sse.AppendEvent(sse.AppendRetry(nil, 1), id, eventType, data)
		want := event{id, eventType, strings.NewReplacer("\r\n", "\n", "\r",
			"\n").Replace(string(data))}
		if strings.ContainsAny(id, "\r\n\x00") {
			want.ID = ""
		}
		if eventType == "" || strings.ContainsAny(eventType, "\r\n\x00") {
			want.Type = sse.DefaultType
		}
		got, d := decode(t, bytes.NewReader(frame))
		if diff := cmp.Diff([]event{want}, got); diff != "" {
			t.Errorf("events of %q (-want +got):\n%s", frame, diff)
		}
		if d.LastEventID() != want.ID {
			t.Errorf("last event ID %q, want %q", d.LastEventID(), want.ID)
		}
	})
}

// FuzzJSON: JSON of any length is the same to a parser however it is broken into lines.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,"\\\",[",-1e5,true],"b" : "\\"}`), uint16(9000))
	f.Add([]byte(" [ ] "), uint16(9000))
	f.Fuzz(func(t *testing.T, value []byte, times uint16) {
		if !json.Valid(value) {
			return
		}
		text := "[" + strings.Repeat(string(value)+",", int(times)%9001) + "0]"
		got, _ := decode(t, bytes.NewReader(sse.AppendJSONEvent(nil, "1", "", []byte(text))))
		if len(got) != 1 || packed(got[0].Data) != packed(text) {
			t.Errorf("%d events, or another text, of %d times %q", len(got), times, value)
		}
	})
}

// FuzzDecoder: any bytes decode without a panic, and to the same result whatever the size of the reads.
func FuzzDecoder(f *testing.F) {
	for _, tt := range streams {
		f.Add([]byte(tt.in), uint16(len(tt.in)/2))
	}
	f.Fuzz(func(t *testing.T, stream []byte, split uint16) {
		at := min(int(split), len(stream))
		want, wantEnd := decode(t, bytes.NewReader(stream))
		for _, r := range []io.Reader{
			iotest.OneByteReader(bytes.NewReader(stream)),
			iotest.HalfReader(bytes.NewReader(stream)),
			io.MultiReader(bytes.NewReader(stream[:at]), bytes.NewReader(stream[at:])),
		} {
			got, end := decode(t, r)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("events depend on the reads (-whole +pieces):\n%s", diff)
			}
			if end.LastEventID() != wantEnd.LastEventID() {
				t.Fatalf("last event ID %q, in pieces %q", wantEnd.LastEventID(), end.LastEventID())
			}
		}
	})
}
