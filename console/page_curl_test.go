package console_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

// TestConsoleEventInFull: an event is shown as it was sent, and the commands to read it and to publish it again work in
// a shell.
func TestConsoleEventInFull(t *testing.T) {
	t.Parallel()
	s := newGuardedSite(t)
	tb := newProfile(t).openConsole(t, s, "/#token="+s.token(time.Hour, ">"))
	tb.isLive(t)
	for _, row := range []struct {
		name, contentType, body string
		kind                    string
		shown                   []string
		once                    bool // published again, it is the same event
	}{
		{name: "numbers", kind: "order.created", contentType: "application/json",
			body: `{"number":9007199254740993,"total":79.90,"tiny":-0.0,"huge":1e400,"z":1,"a":{"b":[1,2]}}`,
			shown: []string{`"number": 9007199254740993`, `"total": 79.90`, `"tiny": -0.0`,
				`"huge": 1e400`}},
		{name: "what a shell would act on", kind: "it's%20%24HOME", contentType: "application/json",
			body: `{"text":"it's \"quoted\" $HOME \u0060id\u0060 \u001b[31m !! \\ \u202e","名":"茶杯 🍵"}`,
			shown: []string{`"it's \"quoted\" $HOME \u0060id\u0060 \u001b[31m !! \\ \u202e"`,
				"茶杯 🍵"}},
		{name: "text", contentType: "text/plain; charset=utf-8",
			body:  "two\nlines, a tab\t, an escape \x1b[2J and \u202e what turns text round\n",
			shown: []string{"two\nlines, a tab\t, an escape \x1b[2J and \u202e what turns text round\n"}},
		{name: "CloudEvent", contentType: "application/cloudevents+json", once: true,
			body:  `{"specversion":"1.0","id":"a-1","source":"/shop/eu","type":"order.paid","subject":"<b>727</b>","data":{"n":9007199254740993}}`,
			shown: []string{`"n": 9007199254740993`, "<b>727</b>", "/shop/eu"}},
		{name: "binary CloudEvent", contentType: "application/cloudevents+json", once: true,
			body:  `{"specversion":"1.0","id":"a-2","source":"/shop/eu","type":"scan","datacontenttype":"image/png","data_base64":"AAECAwQ="}`,
			shown: []string{"AAECAwQ=", "image/png", "5 B"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			id := s.post(t, "orders", row.kind, row.contentType, row.body)
			sent := s.event(t, id)
			tb.eval(t, `location.hash = '#/log?id=`+id+`'`)
			tb.holds(t,
				`$$('dialog').length === 1 && shown('Publish the same again', 'dialog') && shown('`+
					id+`', 'dialog')`)
			text := value[string](t, tb, `$('dialog').textContent`)
			for _, want := range row.shown {
				if !bytes.Contains([]byte(text), []byte(want)) {
					t.Errorf("%q is not shown in\n%s", want, text)
				}
			}
			tb.presses(t, "Copy: Read this event, with curl")
			read := s.bash(t, tb.await(t, "copied").Detail["text"].(string))
			var got map[string]json.RawMessage
			if err := json.Unmarshal([]byte(read), &got); err != nil {
				t.Fatalf("the copied command answers %s", read)
			}
			if diff := cmp.Diff(sent, got); diff != "" {
				t.Errorf("the event that the copied command reads (-stored +read):\n%s", diff)
			}

			tb.presses(t, "Copy: Publish the same again, with curl")
			var again struct{ ID string }
			answer := s.bash(t, tb.await(t, "copied").Detail["text"].(string))
			if err := json.Unmarshal([]byte(answer), &again); err != nil || again.ID == "" {
				t.Fatalf("the copied command answers %s", answer)
			}
			if same := again.ID == id; same != row.once {
				t.Errorf("published again the event is %s, the first was %s", again.ID, id)
			}
			second := s.event(t, again.ID)
			for _, event := range []map[string]json.RawMessage{sent, second} {
				delete(event, "id")
				delete(event, "time")
			}
			if diff := cmp.Diff(sent, second); diff != "" {
				t.Errorf("the event published again (-first +second):\n%s", diff)
			}
		})
	}
}

// TestConsoleTry: what the form publishes is stored, and the command that it shows stores the same.
func TestConsoleTry(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/#/try")
	for _, row := range []struct{ example, topic, kind string }{
		{"order", "orders", "order.created"}, {"comment", "comments", "comment.created"},
		{"ticket", "tickets", "ticket.opened"},
	} {
		tb.enters(t, "[name=example]", row.example)
		tb.presses(t, "Publish")
		tb.sees(t, ".good", "201 Stored on disk")
		published := s.newest(t)
		s.bash(t, value[string](t, tb, `$('.command code').textContent`))
		repeated := s.newest(t)
		if string(published["id"]) == string(repeated["id"]) {
			t.Error("the command stored nothing")
		}
		for _, event := range []map[string]json.RawMessage{published, repeated} {
			if string(event["topic"]) != quote(row.topic) ||
				string(event["type"]) != quote(row.kind) {
				t.Errorf("it is stored as type %s in topic %s, want %s in %s", event["type"],
					event["topic"], row.kind, row.topic)
			}
			var want, got any
			_ = json.Unmarshal([]byte(value[string](t, tb, `$('[name=data]').value`)), &want)
			_ = json.Unmarshal(event["data"], &got)
			if diff := cmp.Diff(want, got); diff != "" || got == nil {
				t.Errorf("the data (-form +stored):\n%s", diff)
			}
		}
		tb.do(t, chromedp.Reload())
		tb.sees(t, ".try", "Nothing has been published from here yet.")
	}

	tb.enters(t, "[name=data]", `{"order":`)
	tb.sees(t, "#try-invalid", "This is not valid JSON yet")
	tb.enters(t, "[name=data]", `{"order":1}`)
	tb.enters(t, "[name=key]", "it's-once")
	tb.presses(t, "Publish")
	tb.sees(t, ".good", "201 Stored on disk")
	tb.presses(t, "Publish")
	tb.sees(t, ".good", "200 Stored by an earlier request with this key")
	first := s.newest(t)
	s.bash(t, value[string](t, tb, `$('.command code').textContent`))
	if diff := cmp.Diff(first, s.newest(t)); diff != "" {
		t.Errorf("the command with the key stored another event:\n%s", diff)
	}
	tb.enters(t, "[name=type]", "tidings.end")
	tb.presses(t, "Publish")
	tb.sees(t, ".bad", "422")
	tb.eval(t, `$('nav a[href="#/alerts"]').click()`)
	tb.sees(t, ".feed", "order.created #1")
}

// newest returns the last event, as raw texts.
func (s *site) newest(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	var page struct{ Events []map[string]json.RawMessage }
	s.ask(t, http.MethodGet, "/v1/events?limit=1", "", "", &page)
	return page.Events[0]
}
