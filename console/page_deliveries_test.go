package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tidings/internal/e2e"
)

// hook is a receiver of deliveries, which responds as set.
type hook struct {
	url    string
	status atomic.Int32
	got    record[http.Header]
}

func newHook(t *testing.T, status int32) *hook {
	h := &hook{}
	h.status.Store(status)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(h.status.Load()))
		h.got.add(r.Header)
	}))
	t.Cleanup(s.Close)
	h.url = s.URL + "/in"
	return h
}

// gets waits until n requests have brought a message of an ID.
func (h *hook) gets(t *testing.T, id string, n int) (last http.Header) {
	t.Helper()
	h.got.await(t, fmt.Sprintf("request %d with %s", n, id), func(all []http.Header) bool {
		found := 0
		for _, header := range all {
			if header.Get("Webhook-Id") == id {
				found, last = found+1, header
			}
		}
		return found == n
	})
	return last
}

// deliversHere lets a site deliver to this machine.
var deliversHere = []string{"--deliver-http", "--deliver-to", "127.0.0.0/8"}

// text returns what the page calls something in its language.
func (tb *tab) text(t *testing.T, key string, params string) string {
	t.Helper()
	if params == "" {
		params = "{}"
	}
	return value[string](t, tb, fmt.Sprintf(`import('/console/i18n.js').then(({ t }) => t(%q, %s))`, key, params))
}

// named finds controls by name: their label, or their own text.
const named = `(name => [...($('dialog[open]') ?? document).querySelectorAll('a, button, input, select, textarea, summary')].filter(element =>
	(element.ariaLabel ?? element.labels?.[0]?.innerText.trim() ?? element.innerText.trim()) === name &&
	!element.disabled && element.checkVisibility()))`

// goes presses Tab until the control of a name has the focus.
func (tb *tab) goes(t *testing.T, name string) {
	t.Helper()
	found := fmt.Sprintf(`%s(%q)`, named, name)
	tb.holds(t, found+`.length > 0`)
	for range 150 {
		if value[bool](t, tb, found+`.includes(document.activeElement)`) {
			return
		}
		tb.do(t, chromedp.KeyEvent(kb.Tab))
	}
	t.Fatalf("Tab does not come to %q", name)
}

// types focuses a field and types.
func (tb *tab) types(t *testing.T, name, keys string) {
	t.Helper()
	tb.goes(t, name)
	tb.do(t, chromedp.KeyEvent(keys))
}

// TestConsoleDelivery: by keyboard alone, in both languages, a delivery is created, fails, is explained, fixed, sends
// again, and is deleted. Its secret is shown once.
func TestConsoleDelivery(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ language, explains, answered string }{
		{"en", "The receiver rejects this event. Find out there why", "The receiver responded 200 after"},
		{"zh-CN", "接收方拒绝了这个事件。请到接收方查看拒绝的原因", "接收方返回 200"},
	} {
		t.Run(row.language, func(t *testing.T) {
			t.Parallel()
			s, p, h := newSite(t, deliversHere...), newProfile(t), newHook(t, 422)
			tb := p.openView(t, s, row.language, 390)
			say := func(key string) string { return tb.text(t, "deliveries."+key, "") }
			of := func(key string) string {
				return tb.text(t, "deliveries.of", fmt.Sprintf(`{ what: %q, name: 'shop' }`, say(key)))
			}
			tb.holds(t, `$('nav')`)
			tb.types(t, tb.text(t, "page.deliveries", ""), kb.Enter)
			tb.sees(t, ".deliveries", say("none"))
			tb.types(t, say("new"), kb.Enter)
			tb.types(t, say("name"), "shop")
			tb.types(t, say("url"), h.url)
			tb.types(t, say("topics"), "orders.>")
			tb.types(t, say("save"), kb.Enter)
			tb.holds(t, `/^whsec_[A-Za-z0-9+\/]{43}=$/.test($('dialog .secret code').innerText)`)
			tb.types(t, tb.text(t, "parts.close", ""), kb.Enter)
			tb.sees(t, ".card", say("state-running"))

			id := s.post(t, "orders.eu", "order.created", "application/json", shopOrder)
			tb.sees(t, ".card .problem", row.explains)
			tb.sees(t, ".card .said", "the receiver answered 422 Unprocessable Entity")
			h.status.Store(200)
			tb.types(t, of("now"), kb.Enter)
			h.gets(t, id, 2)
			tb.holds(t, `!$('.card .problem')`)
			tb.types(t, of("test"), kb.Enter)
			tb.sees(t, ".card .good", row.answered)

			tb.types(t, of("again"), kb.Enter)
			tb.types(t, say("from"), kb.ArrowDown+kb.ArrowDown)
			tb.types(t, say("from-ids"), id)
			tb.types(t, say("againYes"), kb.Enter)
			if replay := h.gets(t, id, 3).Get("Tidings-Replay"); replay != "1" {
				t.Errorf("sent again, Tidings-Replay is %q", replay)
			}
			tb.sees(t, ".card", say("run-replay-done"))

			tb.types(t, of("remove"), kb.Enter)
			tb.types(t, say("removeYes"), kb.Enter)
			tb.sees(t, ".deliveries", say("none"))
		})
	}
}

// TestConsoleDeliveryAddress: a refused address is explained, with the flag that allows it, both when it is set and
// when its name turns out to lead there.
func TestConsoleDeliveryAddress(t *testing.T) {
	t.Parallel()
	s, p, h := newSite(t, "--deliver-http"), newProfile(t), newHook(t, 200)
	tb := p.openConsole(t, s, "/#/deliveries")
	tb.presses(t, "New delivery…")
	tb.enters(t, "dialog [name=name]", "shop")
	tb.enters(t, "dialog [name=topics]", "orders")
	tb.enters(t, "dialog [name=url]", h.url)
	tb.presses(t, "Save")
	tb.sees(t, "dialog .problem", "If that is intended, start the server with --deliver-to 127.0.0.1/32.")
	tb.sees(t, "dialog .problem .said", "127.0.0.1 is refused: it is loopback")
	tb.enters(t, "dialog [name=url]", strings.Replace(h.url, "127.0.0.1", "localhost", 1))
	tb.presses(t, "Save")
	tb.presses(t, "Close")
	s.publish(t, "orders", 1)
	tb.holds(t, `/start the server with --deliver-to (127.0.0.1\/32|::1\/128)\./.test($('.card .problem').innerText)`)
	tb.presses(t, "Test: shop")
	tb.sees(t, ".card [role=status] .problem", "start the server with --deliver-to")
}

// TestConsoleDeliveryKinds: each kind asks only for what it has. Changed fields are sent, empty ones stay unchanged,
// and no event field leaves before that is announced.
func TestConsoleDeliveryKinds(t *testing.T) {
	t.Parallel()
	s, p, h := newSite(t, deliversHere...), newProfile(t), newHook(t, 200)
	tb := p.openConsole(t, s, "/#/deliveries")
	tb.presses(t, "New delivery…")
	const texts = " language time_zone detail template"
	for kind, want := range map[string]string{
		"webhook": "url secret format order", "slack": "url" + texts, "wecom": "url" + texts,
		"telegram": "to url secret" + texts, "dingtalk": "url secret" + texts, "feishu": "url secret" + texts,
		"smtp": "to url sender user secret" + texts, "json": "url secret" + texts,
	} {
		tb.enters(t, "dialog [name=kind]", kind)
		got := value[string](t, tb, `['to', 'url', 'sender', 'user', 'secret', 'format', 'order', 'language', 'time_zone', 'detail', 'template']
			.filter(name => !$('dialog [name=' + name + ']').disabled && !$('dialog [name=' + name + ']').closest('.field').hidden).join(' ')`)
		if got != want {
			t.Errorf("%s asks for %q, want %q", kind, got, want)
		}
	}
	tb.enters(t, "dialog [name=kind]", "json")
	tb.enters(t, "dialog [name=name]", "phone")
	tb.enters(t, "dialog [name=topics]", "orders.> tickets")
	tb.enters(t, "dialog [name=url]", h.url)
	tb.enters(t, "dialog [name=secret]", "a-token")
	tb.enters(t, "dialog [name=template]", "{")
	tb.presses(t, "Save")
	tb.sees(t, "dialog .problem", "The template is not valid JSON")
	tb.enters(t, "dialog [name=template]", `{"title": "{{title}}"}`)
	tb.presses(t, "Save")
	tb.sees(t, ".card", "how many events in which topics")
	stored := func() (d map[string]any) {
		s.ask(t, http.MethodGet, "/v1/deliveries/phone", "", "", &d)
		return d
	}
	if d := stored(); d["kind"] != "json" || d["detail"] != "count" ||
		fmt.Sprint(d["topics"]) != "[orders.> tickets]" ||
		fmt.Sprint(d["template"]) != "map[title:{{title}}]" {
		t.Errorf("made is %v", d)
	}
	tb.presses(t, "Change…: phone")
	tb.sees(t, "dialog", "Off: no field of an event leaves your server")
	tb.sees(t, "dialog", "Set, changed ")
	tb.presses(t, "Include what the newest event says")
	tb.presses(t, "More settings")
	tb.enters(t, "dialog [name=hours]", "2")
	tb.enters(t, "dialog [name=language]", "zh")
	tb.presses(t, "Save")
	tb.sees(t, ".card", "also what the newest event says")
	if d := stored(); d["detail"] != "data" || d["language"] != "zh" || d["give_up_after_seconds"] != 7200.0 {
		t.Errorf("changed it is %v", d)
	}
	s.publish(t, "tickets", 1)
	h.got.await(t, "message", func(all []http.Header) bool { return len(all) > 0 })
	if auth := h.got.all()[0].Get("Authorization"); auth != "Bearer a-token" {
		t.Errorf("after a change the secret is %q", auth)
	}
}

// TestConsoleDeadLetters: events set aside are listed with the reason, and retried or forgotten; what was sent is sent
// again from a time or an ID on; what fails is skipped, after a question; all is paused and resumed.
func TestConsoleDeadLetters(t *testing.T) {
	t.Parallel()
	s, p, h := newSite(t, deliversHere...), newProfile(t), newHook(t, 500)
	s.put(t, "shop", h, `"on_give_up":"set_aside","give_up_after_seconds":1`)
	tb := p.openConsole(t, s, "/#/deliveries")
	first, second := s.publish(t, "orders", 1), s.publish(t, "orders", 1)
	tb.presses(t, "2 set aside…: shop")
	tb.sees(t, "dialog td", "The receiver failed while processing the event.")
	tb.presses(t, "Forget: "+first)
	tb.sees(t, "dialog .state", "1 event")
	h.status.Store(200)
	tb.presses(t, "Try again: "+second)
	tb.sees(t, "dialog .state", "Nothing is set aside.")
	tb.presses(t, "Close")
	tb.sees(t, ".card", "Finished retrying events set aside. 1 sent, 0 refused, 0 deleted by retention.")

	tb.presses(t, "Resend…: shop")
	tb.presses(t, "With new IDs")
	tb.presses(t, "Resend") // from an hour ago on
	h.gets(t, second+"-r1", 1)
	tb.sees(t, ".card", "Resending finished. 2 sent, 0 refused, 0 deleted by retention.")
	tb.presses(t, "Resend…: shop")
	tb.enters(t, "dialog [name=from]", "after")
	tb.enters(t, "dialog [name=after]", first)
	tb.presses(t, "With new IDs")
	tb.presses(t, "Resend")
	h.gets(t, second+"-r2", 1)
	tb.sees(t, ".card", "Resending finished. 1 sent, 0 refused, 0 deleted by retention.")

	h.status.Store(400)
	s.ask(t, http.MethodPut, "/v1/deliveries/shop", "application/json", `{"give_up_after_seconds":3600}`, nil)
	third := s.publish(t, "orders", 1)
	tb.presses(t, "Skip this one…: shop")
	tb.sees(t, "dialog", third)
	tb.presses(t, "Skip it")
	tb.holds(t, `!$('.card .problem') && $('.card').innerText.includes('`+third+`')`)
	tb.presses(t, "Pause all…")
	tb.presses(t, "Pause all")
	tb.sees(t, ".card .badge", "paused")
	tb.presses(t, "Resume all…")
	tb.presses(t, "Resume all")
	tb.sees(t, ".card .badge", "sending")
	tb.presses(t, "Pause: shop")
	tb.presses(t, "Resume: shop")
	tb.sees(t, ".card .badge", "sending")
}

// TestConsoleDeliveryChanged: a form does not undo what somebody else has changed since it was opened, nor does a new
// delivery replace another one of its name.
func TestConsoleDeliveryChanged(t *testing.T) {
	t.Parallel()
	s, p, h := newSite(t, deliversHere...), newProfile(t), newHook(t, 200)
	s.put(t, "shop", h, `"from":"latest"`)
	tb := p.openConsole(t, s, "/#/deliveries")
	tb.presses(t, "Change…: shop")
	s.ask(t, http.MethodPut, "/v1/deliveries/shop", "application/json", `{"topics":["refunds"]}`, nil)
	tb.enters(t, "dialog [name=topics]", "orders.>")
	tb.presses(t, "Save")
	tb.sees(t, "dialog .problem", "changed, created or deleted meanwhile")
	tb.sees(t, ".card", "refunds")
	tb.presses(t, "Cancel")
	tb.presses(t, "Change…: shop")
	tb.enters(t, "dialog [name=topics]", "refunds orders.>")
	tb.presses(t, "Save")
	tb.holds(t, `!$('dialog') && $('.card').innerText.includes('orders.>')`)
	tb.presses(t, "New delivery…")
	tb.enters(t, "dialog [name=name]", "shop")
	tb.enters(t, "dialog [name=topics]", "tickets")
	tb.enters(t, "dialog [name=url]", h.url)
	tb.presses(t, "Save")
	tb.sees(t, "dialog .problem", "changed, created or deleted meanwhile")
	tb.holds(t, `!$('.card').innerText.includes('tickets')`)
}

// put creates a delivery of orders to a hook.
func (s *site) put(t *testing.T, name string, h *hook, more string) {
	t.Helper()
	s.ask(t, http.MethodPut, "/v1/deliveries/"+name, "application/json", fmt.Sprintf(
		`{"url":%q,"topics":["orders"],"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",%s}`, h.url, more), nil)
}

// TestConsoleDeliveryCopy: a restored log is silent; the page says so, and how much would be sent, until an
// administrator resumes it.
func TestConsoleDeliveryCopy(t *testing.T) {
	t.Parallel()
	s, p, h := newSite(t, deliversHere...), newProfile(t), newHook(t, 200)
	s.put(t, "shop", h, `"from":"earliest"`)
	s.ask(t, http.MethodPost, "/v1/deliveries/shop/pause", "", "", nil)
	id := s.publish(t, "orders", 3)
	backup := t.TempDir() + "/backup"
	if out, err := exec.Command(binary, "backup", backup, "--url", s.server.URL()).CombinedOutput(); err != nil {
		t.Fatalf("back up: %v\n%s", err, out)
	}
	s.server.Kill()
	key, err := os.ReadFile(filepath.Join(s.options.DataDir, "secrets.key"))
	if err != nil {
		t.Fatal(err)
	}
	s.options.DataDir = t.TempDir() + "/restored"
	cmd := exec.Command(binary, "restore", backup, "--data-dir", s.options.DataDir)
	cmd.Env = e2e.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	s.start(t)
	tb := p.openConsole(t, s, "/#/deliveries")
	tb.sees(t, ".notice", "1 delivery of the original sends nothing. Resuming it sends 3 events.")
	tb.presses(t, "Resume: shop")
	tb.sees(t, ".card .problem", "the file with the secrets key is missing") // the copy has no key
	if err := os.WriteFile(filepath.Join(s.options.DataDir, "secrets.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	tb.presses(t, "Try now: shop")
	h.gets(t, id, 1)
	tb.sees(t, ".card .badge", "sending")
}

// TestConsoleDeliveryExpiring: the page warns of what retention will delete before it is sent.
func TestConsoleDeliveryExpiring(t *testing.T) {
	t.Parallel()
	s, p, h := newSite(t, append(deliversHere, "--retain-events", "2")...), newProfile(t), newHook(t, 200)
	s.put(t, "shop", h, `"from":"earliest"`)
	s.ask(t, http.MethodPost, "/v1/deliveries/shop/pause", "", "", nil)
	first := s.publish(t, "orders", 1)
	s.publish(t, "orders", 1)
	tb := p.openConsole(t, s, "/#/deliveries")
	tb.holds(t, `$('.card .note').innerText.includes('`+first+`') &&
		shown('Retention is expected to delete an event before it is sent, at about ', '.card .note')`)
}
