package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// room is a chat that answers as configured.
type room struct {
	url    string
	answer atomic.Pointer[string]
	got    chan string
}

func newRoom(t *testing.T) *room {
	r := &room{got: make(chan string, 10)}
	r.says(`{"errcode":0}`)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		_, _ = io.WriteString(w, *r.answer.Load())
		r.got <- string(body)
	}))
	t.Cleanup(s.Close)
	r.url = s.URL + "/send?key=capability"
	return r
}

func (r *room) says(answer string) { r.answer.Store(&answer) }

func (r *room) next(t *testing.T) string {
	t.Helper()
	select {
	case body := <-r.got:
		var m struct{ Text struct{ Content string } }
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		return m.Text.Content
	case <-time.After(e2e.Patience):
		t.Fatal("nothing is sent")
		return ""
	}
}

// TestRecipient: a chat from its creation to a message, through HTTP only.
func TestRecipient(t *testing.T) {
	s := start(t)
	c := newContract(t, s)
	r := newRoom(t)
	const path = "/v1/deliveries/team"
	a := s.do("PUT", path, fmt.Sprintf(`{"kind":"wecom","url":%q,"topics":["orders.>"],"language":"zh",`+
		`"time_zone":"Asia/Shanghai","detail":"data","template":"{{data.number}}"}`, r.url))
	c.response(t, "PUT", path, a)
	for _, want := range []string{`"kind":"wecom"`, `"format":null`, `"language":"zh"`, `"time_zone":"Asia/Shanghai"`,
		`"detail":"data"`, `"template":"{{data.number}}"`, `"secret":{"set":false,"changed":null}`} {
		if a.status != 201 || !strings.Contains(a.body, want) || strings.Contains(a.body, "capability") {
			t.Errorf("%d %s, want %s", a.status, a.body, want)
		}
	}
	s.do("POST", "/v1/topics/orders.eu/events", `{"number":1001}`)
	if text := r.next(t); text != "1001" {
		t.Errorf("it says %q", text)
	}
	a = s.do("PUT", path, `{"template":""}`)
	c.response(t, "PUT", path, a)
	if a.status != 200 || !strings.Contains(a.body, `"template":null`) {
		t.Errorf("without a template: %d %s", a.status, a.body)
	}
}

// TestRecipientRows: rows 292 to 296 and 301 to 304 of docs/ERRORS.md.
func TestRecipientRows(t *testing.T) {
	s := start(t)
	c := newContract(t, s)
	r := newRoom(t)
	body := func(more string) string {
		return fmt.Sprintf(`{"kind":"wecom","url":%q,"topics":["orders.>"],%s}`, r.url, more)
	}
	custom := func(more string) string {
		return fmt.Sprintf(`{"kind":"json","url":%q,"topics":["orders.>"]%s}`, r.url, more)
	}
	letter := func(more string) string {
		return `{"kind":"smtp","url":"smtps://mail.example.com","topics":["orders.>"],` + more + `}`
	}
	const to = `"to":"a@example.com","sender":"a@example.com"`
	t.Run("row 303: a private address", func(t *testing.T) {
		a := s.do("PUT", "/v1/deliveries/new", strings.Replace(letter(to), "mail.example.com", "10.0.0.1", 1))
		c.response(t, "PUT", "/v1/deliveries/new", a)
		if p := a.problem(t); a.status != 422 || p.Code != "address-refused" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	s.do("PUT", "/v1/deliveries/team", body(`"detail":"data","template":"{{data.number}}"`))
	s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, ""))
	s.do("PUT", "/v1/deliveries/any", custom(`,"secret":"x","template":{"text":"{{text}}"}`))
	for _, x := range []struct{ name, delivery, body, field string }{
		{"row 292: no kind", "new", `{"kind":"fax"}`, "kind"},
		{"row 292: another kind", "team", `{"kind":"webhook"}`, "kind"},
		{"row 293: a secret of what has none", "new", body(`"secret":"x"`), "secret"},
		{"row 293: a form of what has none", "team", `{"format":"data"}`, "format"},
		{"row 293: a language of a webhook", "shop", `{"language":"zh"}`, "language"},
		{"row 293: no URL", "new", `{"kind":"slack","topics":["orders"]}`, "url"},
		{"row 293: no secret", "new", `{"kind":"feishu","url":"https://open.feishu.cn/x","topics":["orders"]}`, "secret"},
		{"row 293: a secret of two lines", "new",
			`{"kind":"feishu","url":"https://open.feishu.cn/x","topics":["orders"],"secret":"a\nb"}`, "secret"},
		{"row 301: no chat", "new", `{"kind":"telegram","topics":["orders"],"secret":"1:a"}`, "to"},
		{"row 301: a chat that is none", "new", `{"kind":"telegram","topics":["orders"],"secret":"1:a","to":"orders"}`, "to"},
		{"row 301: a token that is a path", "new",
			`{"kind":"telegram","topics":["orders"],"secret":"1:a/../2:b","to":"@orders"}`, "secret"},
		{"row 302: no sender", "new", letter(`"to":"a@example.com"`), "sender"},
		{"row 302: two senders", "new", letter(`"to":"a@example.com","sender":"a@example.com,b@example.com"`), "sender"},
		{"row 302: a header in a sender", "new",
			letter(`"to":"a@example.com","sender":"a@example.com\r\nBcc: b@example.com"`), "sender"},
		{"row 302: nobody", "new", letter(`"sender":"a@example.com"`), "to"},
		{"row 302: no address", "new", letter(`"sender":"a@example.com","to":"staff"`), "to"},
		{"row 302: a folded address", "new", letter(`"sender":"a@example.com","to":"\"a\r\n b\" <a@example.com>"`), "to"},
		{"row 302: too many", "new", letter(`"sender":"a@example.com","to":"a@b.c` +
			strings.Repeat(",a@b.c", 20) + `"`), "to"},
		{"row 302: a user of two lines", "new",
			letter(`"sender":"a@example.com","to":"a@example.com","user":"a\nQUIT"`), "user"},
		{"row 302: a password of two lines", "new",
			letter(`"sender":"a@example.com","to":"a@example.com","secret":"a\nQUIT"`), "secret"},
		{"row 303: a page", "new", strings.Replace(letter(to), "smtps://mail", "https://mail", 1), "url"},
		{"row 303: a path", "new", strings.Replace(letter(to), "mail.example.com", "mail.example.com/x", 1), "url"},
		{"row 303: a user", "new", strings.Replace(letter(to), "mail.example.com", "a:b@mail.example.com", 1), "url"},
		{"row 304: no template", "new", custom(""), "template"},
		{"row 304: a text", "new", custom(`,"template":"{{text}}"`), "template"},
		{"row 304: a list", "new", custom(`,"template":["{{text}}"]`), "template"},
		{"row 304: a name", "new", custom(`,"template":{"{{topic}}":1}`), "template"},
		{"row 304: a secret into the text", "any", `{"template":{"text":"{{secret}}"}}`, "secret"},
		{"row 304: no secret", "new", custom(`,"template":{"a":["{{secret}}"]}`), "secret"},
		{"row 295: deep within", "new", custom(`,"template":{"a":[{"b":"{{what}}"}]}`), "template"},
		{"row 295: a long object", "new", custom(`,"template":{"a":"` + strings.Repeat("x", 8193) + `"}`), "template"},
		{"row 296: deep within", "new", custom(`,"template":{"a":[{"b":"{{data.b}}"}]}`), "template"},
		{"row 293: a secret to somebody else", "any", `{"url":"https://evil.example.com/"}`, "secret"},
		{"row 294: no language", "team", `{"language":"tlh"}`, "language"},
		{"row 294: no zone", "team", `{"time_zone":"Middle/Earth"}`, "time_zone"},
		{"row 294: the server's zone", "team", `{"time_zone":"Local"}`, "time_zone"},
		{"row 294: a file", "team", `{"time_zone":"../../etc/passwd"}`, "time_zone"},
		{"row 294: all of it", "team", `{"detail":"all"}`, "detail"},
		{"row 295: an unknown placeholder", "team", `{"template":"{{secret}}"}`, "template"},
		{"row 295: a path of what has none", "team", `{"template":"{{topic.x}}"}`, "template"},
		{"row 295: data without a path", "team", `{"template":"{{data}}"}`, "template"},
		{"row 295: an open one", "team", `{"template":"{{topic"}`, "template"},
		{"row 295: no text", "team", `{"template":7}`, "template"},
		{"row 295: a long one", "team", `{"template":"` + strings.Repeat("x", 8193) + `"}`, "template"},
		{"row 296: data by the count", "new", body(`"template":"{{data.number}}"`), "template"},
		{"row 296: a type by the count", "new", body(`"template":"{{type}}"`), "template"},
		{"row 296: a template that stays", "team", `{"detail":"count"}`, "template"},
	} {
		t.Run(x.name, func(t *testing.T) {
			a := s.do("PUT", "/v1/deliveries/"+x.delivery, x.body)
			c.response(t, "PUT", "/v1/deliveries/"+x.delivery, a)
			if p := a.problem(t); a.status != 400 || p.Code != "member-invalid" || p.Field != x.field {
				t.Errorf("%d %s, want member-invalid of %s", a.status, a.body, x.field)
			}
		})
	}
}

// TestRecipientFails: rows 297 to 299 of docs/ERRORS.md.
func TestRecipientFails(t *testing.T) {
	for _, x := range []struct {
		name, answer, says string
		least, most        time.Duration
	}{
		{"row 297: no robot", `{"errcode":93000,"errmsg":"invalid webhook url, from ip 192.0.2.7"}`,
			"WeCom answered 93000: no robot at this URL", 29 * time.Minute, time.Hour},
		{"row 297: a stranger", `<title>Intranet</title>`, "the response is not from WeCom", 29 * time.Minute,
			time.Hour},
		{"row 298: too many", `{"errcode":45009,"errmsg":"api freq out of limit"}`,
			"WeCom answered 45009: more than 20 messages a minute", 50 * time.Second, time.Minute},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := start(t)
			r := newRoom(t)
			r.says(x.answer)
			s.do("PUT", "/v1/deliveries/team", fmt.Sprintf(`{"kind":"wecom","url":%q,"topics":["orders.>"]}`, r.url))
			s.publish("orders.eu", "1")
			r.next(t)
			d := s.delivery(t, "team")
			for end := time.Now().Add(e2e.Patience); d.Failing == nil && time.Now().Before(end); {
				d = s.delivery(t, "team")
			}
			if d.Failing == nil || d.Failing.Next == nil || !strings.HasPrefix(d.Failing.Error, x.says) ||
				strings.Contains(d.Failing.Error, "192.0.2.7") || strings.Contains(d.Failing.Error, "Intranet") {
				t.Fatalf("failing is %+v", d.Failing)
			}
			if wait := time.Until(*d.Failing.Next); wait < x.least || wait > x.most {
				t.Errorf("tried again in %v", wait)
			}
		})
	}
	t.Run("row 299: markup", func(t *testing.T) {
		s := start(t)
		r := newRoom(t)
		s.do("PUT", "/v1/deliveries/team", fmt.Sprintf(`{"kind":"wecom","url":%q,"topics":["orders.>"],"detail":"data"}`,
			r.url))
		text, _ := json.Marshal(map[string]string{"a": "<@all> @all\n\u202e" + strings.Repeat("long ", 1000)})
		s.do("POST", "/v1/topics/orders.eu/events", string(text))
		if got := r.next(t); !strings.Contains(got, "\na: <@\u200ball> @\u200ball long long") || len(got) > 1000 {
			t.Errorf("it says %q", got)
		}
	})
}
