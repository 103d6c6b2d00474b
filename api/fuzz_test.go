package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// The forms in which FuzzPublishStream publishes.
const (
	asText = iota
	asJSON
	asCloudEvent // of bytes
	forms
)

// FuzzPublishStream: whatever is published is refused with a 4xx and not stored, or is exactly one event of a stream,
// with its type, and with its data except for line ends; by its ID, on a page and in an envelope it is what was
// published.
func FuzzPublishStream(f *testing.F) {
	for form := range byte(forms) {
		f.Add("orders.eu", "order.created", []byte(`{"a": 1e400, "b":"\u00fc"}`), form)
		f.Add("orders", "message", []byte("a\r\nb\rc\n\nid: 2\n\nevent: x\ndata: y"), form)
		f.Add("a/../b", "a\ndata: x", []byte("\"\u2028\""), form)
		f.Add("a", "tidings.gap", []byte("{\r\n}"), form)
		f.Add("a", "x", []byte(""), form)
		f.Add("a\x00", "\xff", []byte("\xff\x00"), form)
		f.Add("A-_.9", "<&>", []byte("[1,\r\n\"<&>\",2]\r"), form)
		f.Add("a", "\u202e", []byte("\ufeff"), form)
	}
	shared := newServer(f, newLog(f), 0, api.Options{Heartbeat: time.Hour})
	follower := shared.open(f.Context(), "/v1/stream", "")
	follower.until("tidings.live")
	f.Fuzz(func(t *testing.T, topic, eventType string, data []byte, form byte) {
		s, st := *shared, *follower // one for all inputs, which run one after another
		s.t, st.t = t, t
		form %= forms
		before := s.log.Head()
		a := s.publishAs(form, topic, eventType, data)
		if 400 <= a.status && a.status < 500 {
			if p := a.problem(t); p.Code != "bad-path" && p.Code != "not-found" &&
				p.Outcome != "not_stored" {
				t.Errorf("refused with %s", a.body)
			}
			if s.log.Head() != before {
				t.Errorf("refused with %s, and stored", a.body)
			}
			return
		}
		if a.status != 201 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		var got struct{ ID, Topic, Type string }
		a.decode(t, &got)
		if got.Topic != topic || got.Type != eventType {
			t.Errorf("published to %q as %q, want %q, %q", got.Topic, got.Type, topic, eventType)
		}
		if e := st.next(); e.ID != got.ID || e.Type != eventType ||
			string(e.Data) != streamed(form, data) {
			t.Errorf("streamed %+v with %q, want %s %q with %q", e, e.Data, got.ID, eventType,
				streamed(form, data))
		}
		// anything that a frame smuggled in would come before it
		last := appendData(t, s.log, "last", []byte("1"))
		if e := st.next(); e.ID != last.String() {
			t.Errorf("another event was streamed: %+v with %q", e, e.Data)
		}
		s.checkEverywhere(t, got.ID, topic, form, data)
	})
}

// publishAs publishes in one of the forms. A CloudEvent gets an id that none had before, otherwise it might be a
// retry.
func (s *server) publishAs(form byte, topic, eventType string, data []byte) answer {
	s.t.Helper()
	path := "/v1/topics/" + url.PathEscape(topic) + "/events"
	switch form {
	case asText:
		return s.do("POST", path+"?type="+url.QueryEscape(eventType), string(data),
			"Content-Type: text/plain")
	case asJSON:
		return s.do("POST", path+"?type="+url.QueryEscape(eventType), string(data),
			"Content-Type: application/json")
	default:
		envelope := `{"specversion":"1.0","id":"` + s.log.Head().String() +
			`","source":"/fuzz","type":` + quote(eventType) +
			`,"datacontenttype":"application/octet-stream","data_base64":"` +
			base64.StdEncoding.EncodeToString(data) + `"}`
		return s.do("POST", path, envelope, "Content-Type: application/cloudevents+json")
	}
}

// quote returns a text as JSON, with its bytes, UTF-8 or not.
func quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, c := range []byte(text) {
		switch {
		case c < ' ':
			out.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) +
				string("0123456789abcdef"[c&15]))
		case c == '"', c == '\\':
			out.WriteByte('\\')
			fallthrough
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// streamed returns the data of the frame (WHATWG HTML §9.2.6 knows three line ends, and its parser makes one of
// them).
func streamed(form byte, data []byte) string {
	switch {
	case len(data) == 0:
		return "null"
	case form == asCloudEvent:
		return base64.StdEncoding.EncodeToString(data)
	default:
		return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	}
}

// toldData is an event's data as JSON shows it.
type toldData struct {
	Data       json.RawMessage
	DataBase64 []byte `json:"data_base64"`
}

// checkEverywhere checks the event by its ID, on a page, and as a CloudEvent on a stream.
func (s *server) checkEverywhere(t *testing.T, id, topic string, form byte, data []byte) {
	t.Helper()
	var byID toldData
	s.do("GET", "/v1/events/"+id, "").decode(t, &byID)
	byID.check(t, "by ID", form, data)
	var page struct{ Events []toldData }
	s.do("GET", "/v1/topics/"+topic+"/events?limit=1", "").decode(t, &page)
	if len(page.Events) != 1 {
		t.Fatalf("a page of one has %d events", len(page.Events))
	}
	page.Events[0].check(t, "on a page", form, data)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, e := range s.open(ctx, "/v1/topics/"+topic+"/stream?format=cloudevents&last=1",
		"").until("tidings.live") {
		if e.ID == id && !isControl(e) {
			var envelope toldData
			if err := json.Unmarshal(e.Data, &envelope); err != nil {
				t.Fatal(err)
			}
			if envelope.Data == nil && envelope.DataBase64 == nil {
				envelope.Data = json.RawMessage("null") // an envelope leaves out what is absent
			}
			envelope.check(t, "in an envelope", form, data)
			return
		}
	}
	t.Error("the envelope did not come")
}

// check compares what was read with what was published: text and bytes to the byte, JSON except for white space.
func (got *toldData) check(t *testing.T, where string, form byte, data []byte) {
	t.Helper()
	switch {
	case form == asText:
		var text *string
		if err := json.Unmarshal(got.Data, &text); err != nil || text == nil ||
			*text != string(data) {
			t.Errorf("%s %s, want the text %q", where, got.Data, data)
		}
	case form == asJSON:
		if compact(t, string(got.Data)) != compact(t, string(data)) {
			t.Errorf("%s %s, want %s", where, got.Data, data)
		}
	case len(data) == 0:
		if string(got.Data) != "null" {
			t.Errorf("%s %s, want no data", where, got.Data)
		}
	default:
		if !bytes.Equal(got.DataBase64, data) {
			t.Errorf("%s %q, want the bytes %q", where, got.DataBase64, data)
		}
	}
}
