package wire_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tidings/internal/sse"
	"tidings/internal/wire"
	"tidings/store"
)

// FuzzObject: an object that is accepted is what encoding/json reads, and ParseObject differs from
// SplitObject only over escapes.
func FuzzObject(f *testing.F) {
	for _, text := range []string{`{}`, ` {"a":1,"A":[2] } `, `{"a":{"b":1,"b":2}}`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\ud800":1}`, `{"a":1}}`, `[1]`, `{"a"`, `{,}`,
		"{\"\xff\":1}", ``} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		split, err := wire.SplitObject(text)
		object, strictErr := wire.ParseObject(text)
		if strictErr == nil && err != nil {
			t.Fatalf("ParseObject accepts what SplitObject refuses with %v", err)
		}
		if strictErr != nil && !strings.Contains(string(text), `\u`) && err == nil {
			t.Fatalf("SplitObject accepts what ParseObject refuses with %v", strictErr)
		}
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		got := make(map[string]json.RawMessage)
		for _, m := range split {
			got[m.Name] = m.Value
		}
		if string(wire.Marshal(got)) != string(wire.Marshal(want)) {
			t.Errorf("got %q, want %q", got, want)
		}
		if strictErr == nil && len(object) != len(split) {
			t.Errorf("got %q, want %q", object, split)
		}
	})
}

// FuzzLine: an accepted line stands for an event that has a line, too, which stands for the same event.
func FuzzLine(f *testing.F) {
	for _, line := range []string{
		`{"topic":"a","data":{"b": 1e400}}`,
		`{"id":"01K5ZM00000000000000000000","topic":"a","type":"t","time":"","data":null}`,
		`{"topic":"a","datacontenttype":"text/plain","data":"\u2028\n"}`,
		`{"topic":"a","datacontenttype":"text/plain","data_base64":"/w=="}`,
		`{"topic":"a","datacontenttype":"application/json","data_base64":"WwoxXQ=="}`,
		`{"topic":"a","data_base64":"AAE=","ce":{"id":"1","n":1,"b":true}}`,
		`{"topic":"a","type":"tidings.end","data":{}}`,
		`{"topic":"a","topic":"b"}`, `{"Topic":"a"}`, `{"topic":"a","data":1,"data_base64":"AA=="}`,
		`{"topic":"a","ce":null}`, `{"topic":"a","type":"a\nb"}`, `[]`, ``,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := wire.ParseLine(text)
		if err != nil || e.Time().Year() > 9999 { // RFC 3339 has no such year
			return
		}
		line, err := wire.AppendLine(nil, &e)
		if err != nil {
			if bytes.ContainsAny(text, "\r\n") { // within an attribute
				return
			}
			t.Fatal(err)
		}
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("not one line: %q", line)
		}
		again, err := wire.ParseLine(line)
		if err != nil {
			t.Fatalf("its line %q: %v", line, err)
		}
		if !equal(e, again) {
			t.Errorf("its line %q is\n%+v, want\n%+v", line, again, e)
		}
	})
}

func equal(a, b store.Event) bool {
	return a.ID == b.ID && a.Topic == b.Topic && a.Type == b.Type &&
		a.ContentType == b.ContentType && bytes.Equal(a.Data, b.Data) &&
		slices.Equal(a.Attributes, b.Attributes)
}

// FuzzCloudEvent: an accepted event is sent in a frame of a stream as a CloudEvent that is accepted as well, and is
// the same event.
func FuzzCloudEvent(f *testing.F) {
	const begin = `{"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for _, rest := range []string{`}`, `,"data":{"a": 1e400}}`,
		`,"data":"x","datacontenttype":"a/b"}`,
		`,"data_base64":"AAE="}`,
		`,"data_base64":"AAE=","datacontenttype":"a/b"}`,
		`,"data":"\u2028\r\n","datacontenttype":"text/plain"}`, `,"topic":"b"}`,
		`,"data":1,"n":2}`,
		`,"time":"2026-01-01T00:00:00Z","subject":"s","dataschema":"x:y","b":true,"sequence":"9"}`,
		`,"datacontenttype":"text/plain; charset=utf-16","data":""}`, `,"subject":""}`,
		`,"id":"2"}`,
	} {
		f.Add([]byte(begin + rest))
	}
	to := wire.Destination{Topic: "a", MaxData: 1 << 20}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := wire.ParseCloudEvent(text, to)
		if err != nil {
			return
		}
		d := e.Draft
		event := store.Event{ID: store.MaxID, Topic: d.Topic, Type: d.Type,
			ContentType: d.ContentType, Attributes: d.Attributes, Data: d.Data}
		dec := sse.NewDecoder(bytes.NewReader(wire.AppendCloudEventFrame(nil, &event)),
			1<<26)
		frame, err := dec.Next()
		if err != nil {
			t.Fatal(err)
		}
		again, err := wire.ParseCloudEvent(frame.Data, to)
		if err != nil {
			t.Fatalf("its envelope %s: %v", frame.Data, err)
		}
		got := again.Draft
		if len(d.Data) == 0 {
			got.ContentType = d.ContentType // an envelope without data does not name its type
		}
		if again.Source != e.Source || again.ID != e.ID || got.Topic != d.Topic ||
			got.Type != d.Type || got.ContentType != d.ContentType ||
			!slices.Equal(got.Attributes, d.Attributes) ||
			compact(got.Data) != compact(d.Data) {
			t.Errorf("its envelope %s is\n%+v, want\n%+v", frame.Data, again, e)
		}
	})
}

// compact returns JSON without white space, and any other data as it is.
func compact(data []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return string(data)
	}
	return b.String()
}

// FuzzNDJSON: each event of an accepted batch is one that a log accepts, and is exactly one event of a stream.
func FuzzNDJSON(f *testing.F) {
	for _, body := range []string{
		`{"topic":"a","data":1}` + "\n\r\n" + `{"topic":"b.c","type":"t","data":{"x": [1,2]}}`,
		`{"topic":"a","datacontenttype":"text/plain","data_base64":"YQpiDWM="}`,
		`{"topic":"a","datacontenttype":"a/b","data_base64":""}`,
		`{"topic":"a","type":"a\nb","data":1}`,
		`{"topic":"a","datacontenttype":"text/plain","data_base64":"AA=="}`, `{"topic":"a"}`, "\n",
		`{"topic":"a","type":"open","data":1}`, `{"topic":"*","data":1}`,
		`{"topic":"a","data":1,"x":1}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for d, err := range wire.NDJSON(bytes.NewReader(body), 1<<20) {
			if err != nil {
				return
			}
			if err := d.Validate(); err != nil {
				t.Error(err)
			}
			e := store.Event{ID: store.MaxID, Topic: d.Topic, Type: d.Type,
				ContentType: d.ContentType, Data: d.Data}
			dec := sse.NewDecoder(bytes.NewReader(wire.AppendDataFrame(nil, &e)), 1<<26)
			got, err := dec.Next()
			if err != nil || got.ID != e.ID.String() || got.Type != e.Type {
				t.Errorf("streamed as %+v, %v, want %+v", got, err, e)
			}
			if extra, err := dec.Next(); err == nil {
				t.Errorf("another event was streamed: %+v", extra)
			}
		}
	})
}
