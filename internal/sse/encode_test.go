package sse_test

import (
	"bytes"
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
	got := sse.AppendRetry(sse.AppendRetry(nil, 2731), -1)
	if want := "retry: 2731\n\nretry: 0\n\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAppendEventDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for _, data := range []string{`{"order":1001}`, "a\nb", "a\r\nb"} {
		payload := []byte(data)
		allocs := testing.AllocsPerRun(100, func() {
			dst = sse.AppendEvent(dst[:0], "01K5ZM00000000000000000000", "order.created", payload)
			dst = sse.AppendRetry(dst, 1000)
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
