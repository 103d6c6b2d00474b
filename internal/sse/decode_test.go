package sse_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/sse"
)

// event is sse.Event with readable data.
type event struct{ ID, Type, Data string }

// decode reads r to its end.
func decode(t testing.TB, r io.Reader) ([]event, *sse.Decoder) {
	t.Helper()
	d := sse.NewDecoder(r, 0)
	var events []event
	for {
		e, err := d.Next()
		if err == io.EOF {
			return events, d
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event{e.ID, e.Type, string(e.Data)})
	}
}

func message(data string) event { return event{Type: "message", Data: data} }

// streams is shared with the fuzz targets, as their seeds. The first group are the examples of WHATWG HTML §9.2.6, by
// their meaning; the rest are its rules, one each.
var streams = []struct {
	name, in    string
	want        []event
	lastEventID string
}{
	{"several data lines", "data: price\ndata: +2\ndata: 10\n\n",
		[]event{message("price\n+2\n10")}, ""},
	{"comment, id, emptied id, cut off",
		": note\n\ndata: one\nid: 1\n\ndata:two\nid\n\ndata:  three\n\nid: 9\ndata: cut",
		[]event{{"1", "message", "one"}, message("two"), message(" three")}, ""},
	{"data without value", "data\n\ndata\ndata\n\ndata:", []event{message(""), message("\n")}, ""},
	{"space after the colon is optional", "data:x\n\ndata: x\n\n",
		[]event{message("x"), message("x")}, ""},

	{"nothing", "", nil, ""},
	{"CR ends lines", "data: a\rdata: b\r\r", []event{message("a\nb")}, ""},
	{"CRLF ends lines", "data: a\r\ndata: b\r\n\r\n", []event{message("a\nb")}, ""},
	{"mixed ends", "data: a\r\ndata: b\n\rdata: c\r\r\n",
		[]event{message("a\nb"), message("c")}, ""},
	{"byte order mark", "\ufeffdata: a\n\n", []event{message("a")}, ""},
	{"only the first byte order mark", "\ufeff\ufeffdata: a\n\ndata: b\n\n",
		[]event{message("b")}, ""},
	{"byte order mark later on", "data: a\n\n\ufeffdata: b\n\n", []event{message("a")}, ""},
	{"type", "event: x\ndata: a\n\ndata: b\n\n", []event{{"", "x", "a"}, message("b")}, ""},
	{"last type wins, empty is the default",
		"event: x\nevent: y\ndata: a\n\nevent: x\nevent\ndata: b\n\n",
		[]event{{"", "y", "a"}, message("b")}, ""},
	{"type without data does not stick", "event: x\n\ndata: a\n\n", []event{message("a")}, ""},
	{"id persists", "id: 1\ndata: a\n\ndata: b\n\n",
		[]event{{"1", "message", "a"}, {"1", "message", "b"}}, "1"},
	{"id without data counts", "id: 1\ndata: a\n\nid: 2\n\n", []event{{"1", "message", "a"}}, "2"},
	{"id of a cut off event does not", "id: 1\ndata: a\n\nid: 2\ndata: b\n",
		[]event{{"1", "message", "a"}}, "1"},
	{"id with NUL is ignored", "id: 1\nid: 2\x00\ndata: a\n\n",
		[]event{{"1", "message", "a"}}, "1"},
	{"unknown fields and case", "Data: a\nfoo: b\ndata : c\n data: d\n: e\ndata: f\n\n",
		[]event{message("f")}, ""},
	{"colons in the value", "data: a:b: c\n\n", []event{message("a:b: c")}, ""},
	{"blank lines", "\n\n\ndata: a\n\n\n\n", []event{message("a")}, ""},
	{"no UTF-8", "data: \xff\xfe\n\n", []event{message("\xff\xfe")}, ""},
}

func TestDecoder(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			got, d := decode(t, strings.NewReader(tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if d.LastEventID() != tt.lastEventID {
				t.Errorf("last event ID %q, want %q", d.LastEventID(), tt.lastEventID)
			}
		})
	}
}

func TestDecoderAtEverySplit(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			check := func(how string, r io.Reader) {
				if got, _ := decode(t, r); !cmp.Equal(tt.want, got) {
					t.Errorf("%s: got %q, want %q", how, got, tt.want)
				}
			}
			check("byte by byte", iotest.OneByteReader(strings.NewReader(tt.in)))
			check("error with data", iotest.DataErrReader(strings.NewReader(tt.in)))
			for i := range len(tt.in) {
				check("split at "+tt.in[:i], io.MultiReader(strings.NewReader(tt.in[:i]),
					strings.NewReader(tt.in[i:])))
			}
		})
	}
}

func TestRetry(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"data: a\n\n", 0, false},
		{"retry: 2731\n", 2731 * time.Millisecond, true},
		{"retry:0\n", 0, true},
		{"retry: 10\nretry: 1s\nretry: -1\nretry: +1\nretry: 1.5\nretry\nretry: 99999999999\n",
			10 * time.Millisecond, true},
	}
	for _, tt := range tests {
		_, d := decode(t, strings.NewReader(tt.in))
		if got, ok := d.Retry(); got != tt.want || ok != tt.ok {
			t.Errorf("%q: got %v, %v, want %v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

// An event is complete with its last byte: a decoder that waited for what follows would hold the newest event back
// until the next one. The pipe has no more bytes to give.
func TestNextDoesNotReadAhead(t *testing.T) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		r, w := io.Pipe()
		defer r.Close()
		go io.WriteString(w, "data: a"+end+end)
		e, err := sse.NewDecoder(r, 0).Next()
		if err != nil || string(e.Data) != "a" {
			t.Errorf("line end %q: got %q, %v", end, e.Data, err)
		}
	}
}

func TestLimit(t *testing.T) {
	const limit = 64
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"at the limit", "data: " + strings.Repeat("x", limit-len("data: ")) + "\n\n", true},
		{"long line", "data: " + strings.Repeat("x", limit) + "\n\n", false},
		{"endless line", strings.Repeat("x", 3*limit), false},
		{"many lines", strings.Repeat("data: x\n", limit), false},
		{"long comment", ":" + strings.Repeat("x", limit) + "\n", false},
		{"many small events", strings.Repeat("data: x\n\n", limit), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := sse.NewDecoder(strings.NewReader(tt.in), limit)
			var err error
			for err == nil {
				_, err = d.Next()
			}
			if tooLarge := errors.Is(err, sse.ErrTooLarge); tooLarge == tt.ok {
				t.Errorf("got error %v, within the limit: %v", err, tt.ok)
			}
			if _, again := d.Next(); again != err {
				t.Errorf("after %v came %v, want the same error", err, again)
			}
		})
	}
}

func TestReadErrorIsReturned(t *testing.T) {
	broken := errors.New("broken")
	d := sse.NewDecoder(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"),
		iotest.ErrReader(broken)), 0)
	if e, err := d.Next(); err != nil || string(e.Data) != "a" {
		t.Fatalf("got %q, %v", e.Data, err)
	}
	if _, err := d.Next(); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
