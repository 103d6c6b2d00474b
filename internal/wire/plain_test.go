package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"tidings/internal/wire"
	"tidings/store"
)

// FuzzPlain: what is read as most lines are is the event that it is for the reader of all lines, which
// refuses nothing of it.
func FuzzPlain(f *testing.F) {
	for _, line := range append(plainLines, otherLines...) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, ok := wire.PlainEntry(line, maxPlain)
		if !ok {
			return
		}
		want, err := wire.ParseEntry(line, maxPlain)
		if err != nil || !equal(eventOf(got), eventOf(want)) {
			t.Errorf("%q is %+v, want %+v, %v", line, got, want, err)
		}
	})
}

const maxPlain = 1 << 10

func eventOf(d store.Draft) store.Event {
	return store.Event{Topic: d.Topic, Type: d.Type, ContentType: d.ContentType,
		Attributes: d.Attributes, Data: d.Data}
}

var (
	plainLines = []string{`{"topic":"a.b","type":"t","data":{"x": [1e3,"\u2028\n"]}}`,
		` { "data" : null , "topic" : "a" } `, `{"topic":"a","data":""}`, `{"topic":"a","data":{"b":1,"b":2}}`,
		`{"topic":"a","data":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `}`}
	otherLines = []string{``, `{`, `{}`, `[]`, `null`, `{"topic":"a"}`, `{"topic":"a","data":1}x`,
		`{"topic":"a","data":1}{}`, `{"topic":"a","data":1,"topic":"b"}`, `{"topic":"a","data":1,"data":2}`,
		`{"topic":"","data":1,"topic":"a"}`, `{"topic":"a","type":"","data":1}`,
		`{"topic":"a","type":null,"data":1}`, `{"topic":"\u0061","data":1}`, `{"topic":"a","data":1,}`,
		`{"topic":"a","type":"error","data":1}`, `{"topic":"*","data":1}`, `{"topic":"a","data":"\ud800"}`,
		"{\"topic\":\"a\",\"data\":\"\xff\"}", "\ufeff" + `{"topic":"a","data":1}`,
		`{"topic":"a","data_base64":"","datacontenttype":"a/b"}`, `{"topic":"a","data":1,"x":1}`,
		`{"topic":"a","data":"` + strings.Repeat("x", maxPlain) + `"}`,
		`{"topic":"a","data":` + strings.Repeat("[", 129) + strings.Repeat("]", 129) + `}`}
)

// Most lines are not read twice.
func TestPlainLines(t *testing.T) {
	for _, line := range plainLines {
		if _, ok := wire.PlainEntry([]byte(line), maxPlain); !ok {
			t.Errorf("%q is read as the exception", line)
		}
	}
	for _, line := range otherLines {
		if d, ok := wire.PlainEntry([]byte(line), maxPlain); ok {
			t.Errorf("%q is read as most lines are: %+v", line, d)
		}
	}
}

// A line of a batch allocates nothing of its own: what the events of a batch need they share.
func TestAllocationsOfALine(t *testing.T) {
	allocations := func(lines int) float64 {
		var body bytes.Buffer
		for i := range lines {
			fmt.Fprintf(&body, `{"topic":"a.t%d","type":"made","data":{"text":%q}}`+"\n", i%7,
				strings.Repeat("x", 200))
		}
		in := bytes.NewReader(nil)
		return testing.AllocsPerRun(5, func() {
			in.Reset(body.Bytes())
			for _, err := range wire.NDJSON(io.Reader(in), 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	few, many := allocations(500), allocations(1000)
	if each := (many - few) / 500; each > 0.1 {
		t.Errorf("a line costs %.2f allocations", each)
	}
}
