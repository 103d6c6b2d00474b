package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"tidings/internal/wire"
	"tidings/store"
)

const maxInBatch = 1 << 10

var lines = []string{`{"topic":"a.b","type":"t","data":{"x": [1e3,"\u2028\n"]}}`,
	` { "data" : null , "topic" : "a" } `, `{"topic":"a","data":""}`, `{"topic":"a","data":{"b":1,"b":2}}`,
	`{"topic":"a","data":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `}`,
	`{`, `{}`, `[]`, `null`, `{"topic":"a"}`, `{"topic":"a","data":1}x`,
	`{"topic":"a","data":1}{}`, `{"topic":"a","data":1,"topic":"b"}`, `{"topic":"a","data":1,"data":2}`,
	`{"topic":"","data":1,"topic":"a"}`, `{"topic":"a","type":"","data":1}`,
	`{"topic":"a","type":null,"data":1}`, `{"\u0074opic":"\u0061","data":1}`, `{"topic":"a","data":1,}`,
	`{"topic":"a","type":"error","data":1}`, `{"topic":"*","data":1}`, `{"topic":"a","data":"\ud800"}`,
	"{\"topic\":\"a\",\"data\":\"\xff\"}", "\ufeff" + `{"topic":"a","data":1}`,
	`{"topic":"a","data_base64":"","datacontenttype":"a/b"}`, `{"topic":"a","data":1,"x":1}`,
	`{"topic":"a","data":"` + strings.Repeat("x", maxInBatch) + `"}`,
	`{"topic":"a","data":` + strings.Repeat("[", 129) + strings.Repeat("]", 129) + `}`}

// FuzzLineOfABatch: the meaning of a line does not depend on the line before it, and an accepted line is what
// encoding/json reads.
func FuzzLineOfABatch(f *testing.F) {
	for i, line := range lines {
		f.Add([]byte(line), []byte(lines[(i+1)%len(lines)]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		one, two := readLines(first), readLines(second)
		if len(one) != 1 || one[0].err != nil || len(bytes.TrimSpace(second)) == 0 {
			return
		}
		both := readLines(slices.Concat(first, []byte("\n"), second))
		if want := append(one, two...); !slices.EqualFunc(both, want, result.equal) {
			t.Errorf("after %q, %q is %+v, want %+v", first, second, both, want)
		}
		var want struct {
			Topic, Type string
			Data        json.RawMessage
			Base64      []byte `json:"data_base64"`
		}
		if err := json.Unmarshal(first, &want); err != nil {
			t.Fatalf("%q is accepted, but %v", first, err)
		}
		if want.Type == "" {
			want.Type = store.DefaultType
		}
		if want.Data == nil {
			want.Data = want.Base64
		}
		if d := one[0].Draft; d.Topic != want.Topic || d.Type != want.Type || !bytes.Equal(d.Data, want.Data) {
			t.Errorf("%q is %+v, want %+v", first, d, want)
		}
	})
}

// result is an event of a batch, or the error in its place.
type result struct {
	wire.CloudEvent
	store.Draft
	err error
}

func (r result) equal(other result) bool {
	var a, b wire.Error
	for err, into := range map[error]*wire.Error{r.err: &a, other.err: &b} {
		var e *wire.Error
		if errors.As(err, &e) {
			*into = wire.Error{Code: e.Code, Field: e.Field, Detail: e.Detail}
		}
	}
	return (r.err == nil) == (other.err == nil) && a.Code == b.Code && a.Field == b.Field &&
		r.Source == other.Source && r.ID == other.ID && equal(eventOf(r.Draft), eventOf(other.Draft)) &&
		equal(eventOf(r.CloudEvent.Draft), eventOf(other.CloudEvent.Draft))
}

func eventOf(d store.Draft) store.Event {
	return store.Event{Topic: d.Topic, Type: d.Type, ContentType: d.ContentType,
		Attributes: d.Attributes, Data: d.Data}
}

func readLines(body []byte) (results []result) {
	for d, err := range wire.NDJSON(bytes.NewReader(body), maxInBatch) {
		results = append(results, result{Draft: d, err: err})
	}
	return results
}

var envelopes = []string{
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a": 1e400}}`,
	`{"specversion":"1.0","id":"\u0031","source":"/s","type":"t","datacontenttype":"a/b","data":"x"}`,
	`{"type":"t","source":"/s","id":"1","specversion":"1.0","data_base64":"AAE="}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"\u2028\r\n","datacontenttype":"text/plain"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"AA=="}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-01-01T00:00:00Z","subject":"s",` +
		`"dataschema":"x:y","b":true,"n":-1,"sequence":"9","topic":"a","empty":null}`,
	`{"specversion":"1.0","id":"1","source":":","type":"t"}`, `{"specversion":"1.0","id":"","source":"s","type":"t"}`,
	`{"specversion":"1.0","id":"1","source":"s","type":"error"}`, `{"id":"1","source":"s","type":"t"}`,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","A":1}`, `{"specversion":"1.0","id":"1","id":"1"}`,
	`{"specversion":"1.0","id":1,"source":"s","type":"t"}`, `{"specversion":"1.0","id":"1","source":"s","type":"t","n":1.5}`,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","topic":"b"}`,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","a":"\u0007"}`, `{}`, `[]`, `1`, `{`, `null`,
}

// FuzzEventOfABatch: a CloudEvent means the same in a batch as alone, whatever came before it.
func FuzzEventOfABatch(f *testing.F) {
	for i, text := range envelopes {
		f.Add([]byte(text), []byte(envelopes[(i+1)%len(envelopes)]))
	}
	to := wire.Destination{Topic: "a", MaxData: maxInBatch}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		one, err := wire.ParseCloudEvent(first, to)
		if err != nil {
			return
		}
		two, err := wire.ParseCloudEvent(second, to)
		if err != nil {
			two = wire.CloudEvent{}
		}
		want := []result{{CloudEvent: one}, {CloudEvent: two, err: err}}
		var got []result
		for e, err := range wire.CloudEvents(bytes.NewReader(slices.Concat([]byte("["), first, []byte(","),
			second, []byte("]"))), to) {
			got = append(got, result{CloudEvent: e, err: err})
		}
		// Two texts, or none, are not a bad entry, but a bad batch.
		if err != nil && (len(got) < 2 || got[1].err == nil || isSyntax(err) || isSyntax(got[1].err)) {
			if len(got) == 0 || !got[0].equal(want[0]) || got[len(got)-1].err == nil && json.Valid(second) {
				t.Errorf("%q after %q is %+v, alone %+v", second, first, got, want)
			}
			return
		}
		if !slices.EqualFunc(got, want, result.equal) {
			t.Errorf("%q after %q is %+v, alone %+v", second, first, got, want)
		}
	})
}

func isSyntax(err error) bool {
	var e *wire.Error
	return errors.As(err, &e) && (e.Code == "json-invalid" || e.Code == "empty-body" || e.Code == "json-too-deep")
}

// A line of a batch allocates nothing by itself: the events of a batch share what they need.
func TestAllocationsOfALine(t *testing.T) {
	n := eachAllocates(t, func(i int) string {
		return fmt.Sprintf(`{"topic":"a.t%d","type":"made","data":{"text":%q}}`+"\n", i%7, strings.Repeat("x", 200))
	}, func(body io.Reader) (err error) {
		for _, err = range wire.NDJSON(body, 1<<20) {
		}
		return err
	})
	if n > 0.1 {
		t.Errorf("a line costs %.2f allocations", n)
	}
}

// A CloudEvent of a batch allocates its id, the list of its attributes and their text.
func TestAllocationsOfACloudEvent(t *testing.T) {
	n := eachAllocates(t, func(i int) string {
		between := ","
		if i == 0 {
			between = "["
		}
		return between + fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s%d","type":"made","topic":"a.t%[2]d",`+
			`"subject":"it","data":{"text":%q}}`, i, i%7, strings.Repeat("x", 200))
	}, func(body io.Reader) (err error) {
		for _, err = range wire.CloudEvents(io.MultiReader(body, strings.NewReader("]")),
			wire.Destination{MaxData: 1 << 20}) {
		}
		return err
	})
	if n > 4.1 {
		t.Errorf("an event costs %.2f allocations", n)
	}
}

// eachAllocates returns how many objects each additional entry allocates.
func eachAllocates(t *testing.T, entry func(int) string, read func(io.Reader) error) float64 {
	allocations := func(entries int) float64 {
		var body strings.Builder
		for i := range entries {
			body.WriteString(entry(i))
		}
		in := strings.NewReader("")
		return testing.AllocsPerRun(5, func() {
			in.Reset(body.String())
			if err := read(in); err != nil {
				t.Fatal(err)
			}
		})
	}
	return (allocations(1000) - allocations(500)) / 500
}
