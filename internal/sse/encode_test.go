package sse_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"tidings/internal/sse"
)

func TestAppendEvent(t *testing.T) {
	tests := []struct {
		name, id, event, data, want string
	}{
		{"all fields", "7", "order.created", `{"n":1}`,
			"id: 7\nevent: order.created\ndata: {\"n\":1}\n\n"},
		{"no id", "", "tidings.gap", "x", "event: tidings.gap\ndata: x\n\n"},
		{"no type", "7", "", "x", "id: 7\ndata: x\n\n"},
		{"default type", "7", "message", "x", "id: 7\ndata: x\n\n"},
		{"empty data", "7", "a", "", "id: 7\nevent: a\ndata: \n\n"},
		{"LF", "", "", "a\nb", "data: a\ndata: b\n\n"},
		{"CR", "", "", "a\rb", "data: a\ndata: b\n\n"},
		{"CRLF", "", "", "a\r\nb", "data: a\ndata: b\n\n"},
		{"LF CR is two ends", "", "", "a\n\rb", "data: a\ndata: \ndata: b\n\n"},
		{"CR CRLF", "", "", "a\r\r\nb", "data: a\ndata: \ndata: b\n\n"},
		{"ends at both sides", "", "", "\na\r", "data: \ndata: a\ndata: \n\n"},
		{"leading space", "", "", " a", "data:  a\n\n"},
		{"looks like a field", "", "", "id: 9\n\n:x", "data: id: 9\ndata: \ndata: :x\n\n"},
		{"injected id", "7\ndata: evil", "a", "x", "event: a\ndata: x\n\n"},
		{"id with CR", "7\r", "a", "x", "event: a\ndata: x\n\n"},
		{"id with NUL", "7\x00", "a", "x", "event: a\ndata: x\n\n"},
		{"injected event", "7", "a\r\rdata: evil", "x", "id: 7\ndata: x\n\n"},
		{"event with NUL", "7", "\x00", "x", "id: 7\ndata: x\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(sse.AppendEvent([]byte("before"), tt.id, tt.event, []byte(tt.data)))
			if want := "before" + tt.want; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestAppendRetry(t *testing.T) {
	got := sse.AppendRetry(sse.AppendEvent(sse.AppendRetry(nil, 2731), "", "a", nil), -1)
	if want := "retry: 2731\nevent: a\ndata: \n\nretry: 0\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAppendEventDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for _, data := range []string{`{"order":1001}`, "a\nb", "a\r\nb"} {
		payload := []byte(data)
		allocs := testing.AllocsPerRun(100, func() {
			dst = sse.AppendRetry(dst[:0], 1000)
			dst = sse.AppendEvent(dst, "01K5ZM00000000000000000000", "order.created", payload)
		})
		if allocs != 0 {
			t.Errorf("data %q: %v allocations, want 0", data, allocs)
		}
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	data := []byte(`{"text":"` + string(bytes.Repeat([]byte("x"), 245)) + `"}`)
	dst := make([]byte, 0, 1024)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		dst = sse.AppendEvent(dst[:0], "01K5ZM00000000000000000000", "order.created", data)
	}
}

// TestAppendJSONEvent: long JSON has lines that any client accepts, and is the same to every parser.
func TestAppendJSONEvent(t *testing.T) {
	const size = 200 << 10
	long := strings.Repeat("x", size)
	tests := []struct {
		name, data string
		longest    int // line; 0: sse.MaxJSONLine
	}{
		{"numbers", "[" + strings.Repeat("1234567,", size/8) + "0]", 0},
		{"members", "{" + strings.Repeat(`"a":true,`, size/9) + `"a":null}`, 0},
		{"brackets", strings.Repeat("[", size/2) + strings.Repeat("]", size/2), 0},
		{"white space", "[" + strings.Repeat(" \t", size/2) + "]", 0},
		{"strings that look like more", "[" + strings.Repeat(`"\\\",[ ",`, size/10) + "0]", 0},
		{"lines of its own", "[\n" + strings.Repeat("1,2,3,\r\n", size/8) + "0]", 0},
		{"a long line among lines", "[\n" + strings.Repeat("1,", size/2) + "\n0]", 0},
		{"a long string", `[1,2,"` + long + `",3]`, size + 4},
		{"a long string with escapes", `{"a":"` + strings.Repeat(`\"`, size/2) + `"}`, size + 4},
		{"a long number", "[" + strings.Repeat("1", size) + "]", size + 4},
		{"a long string at a line's end", "{\n" + strings.Repeat(" ", 999) + `"a":"` + long + "\"\n}", size + 4},
		{"a string alone", `"` + long + `"`, size + 4},
		{"no end", `["` + long, size + 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame := sse.AppendJSONEvent(nil, "1", "a", []byte(tt.data))
			for line := range bytes.Lines(frame) {
				if got := len(line) - len("data: \n"); got > max(tt.longest, sse.MaxJSONLine) {
					t.Errorf("a line of %d bytes", got)
				}
			}
			got, _ := decode(t, bytes.NewReader(frame))
			if len(got) != 1 || packed(got[0].Data) != packed(tt.data) {
				t.Errorf("%d events, or another text", len(got))
			}
		})
	}
	short := []byte("[" + strings.Repeat("1,", sse.MaxJSONLine/2-1) + "]")
	if !bytes.Equal(sse.AppendJSONEvent(nil, "1", "a", short), sse.AppendEvent(nil, "1", "a", short)) {
		t.Errorf("data of %d bytes is broken", len(short))
	}
}

// packed returns JSON without white space between its tokens, other text as it is, without line ends.
func packed(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return strings.ReplaceAll(text, "\n", "")
	}
	return b.String()
}

func BenchmarkAppendJSONEvent(b *testing.B) {
	for name, data := range map[string]string{
		"numbers": "[" + strings.Repeat("1234567,", 1<<17-1) + "0]",
		"strings": "[" + strings.Repeat(`"twelve bytes",`, 1<<16) + "0]",
	} {
		b.Run(name, func(b *testing.B) {
			dst, data := make([]byte, 0, 2<<20), []byte(data)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				dst = sse.AppendJSONEvent(dst[:0], "01K5ZM00000000000000000000", "a", data)
			}
		})
	}
}
