package console_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/auth"
)

// TestConsoleGrant: a person who may only read orders sees nothing else on any page, and without admin no connections.
func TestConsoleGrant(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	publish := func(text string) {
		for _, topic := range []string{"orders.eu", "tickets", "orders"} {
			s.post(t, topic, "", "application/json", `{"title":"`+text+" in "+topic+`"}`)
		}
	}
	publish("before")
	tb := p.openConsole(t, s, "/#token="+s.mint(t,
		auth.Grant{Subject: "ada", Subscribe: filter("orders.>", "refunds")}))
	tb.isLive(t)
	publish("after")
	tb.holds(t, `document.title === '(2) Alerts · Tidings' && $$('.feed article').length === 2`)
	if diff := cmp.Diff([]string{"Alerts 2", "Shift", "Log", "Topics", "Server", "Try it"},
		tb.texts(t, "nav a")); diff != "" {
		t.Errorf("the pages (-want +got):\n%s", diff)
	}
	s.post(t, "refunds", "", "application/json", `{"title":"a refund"}`)
	tb.sees(t, ".feed", "a refund")
	tb.presses(t, "Mark all read") // for everything granted, not only the existing topics
	tb.holds(t, `document.title === 'Alerts · Tidings'`)

	for _, row := range []struct{ page, text string }{
		{"log", "a refund"}, {"topics", "2 topics"}, {"server", "Engine"},
		{"connections", "a refund"}, {"try", "This token does not grant publishing"},
	} {
		tb.eval(t, `location.hash = '#/`+row.page+`'`)
		tb.sees(t, "main", row.text)
		if shown := value[string](t, tb, `$('main').innerText`); strings.Contains(shown,
			"in tickets") || strings.Contains(shown, "in orders\n") {
			t.Errorf("the page %s shows\n%s", row.page, shown)
		}
	}
	tb.holds(t, `$('.try form button').disabled`)
	tb.eval(t, `location.hash = '#/log?topic=tickets'`)
	tb.sees(t, ".problem", "That did not work: ")
	if n := len(s.requestsFor("/v1/subscribers")); n != 0 {
		t.Errorf("the page asks for the subscribers %d times", n)
	}
}

// TestConsoleManyGrants: a read mark covers everything granted, however many topics match.
func TestConsoleManyGrants(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	var lines strings.Builder
	for i := range 100 {
		lines.WriteString(`{"topic":"orders.` + strings.Repeat("x",
			i+1) + `","data":{"n":1}}` + "\n")
	}
	s.ask(t, http.MethodPost, "/v1/events", "application/x-ndjson", lines.String(), nil)
	tb := p.openConsole(t, s, "/#token="+s.mint(t,
		auth.Grant{Subject: "ada", Subscribe: filter("orders.>")}))
	tb.holds(t, `document.title === '(100) Alerts · Tidings'`)
}

// TestConsoleMayPublish: the page publishes what a token grants; the rest is refused, and the page says so.
func TestConsoleMayPublish(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/#token="+s.mint(t,
		auth.Grant{Subject: "ada", Publish: filter("orders"), Subscribe: filter("orders")}))
	tb.isLive(t)
	tb.eval(t, `location.hash = '#/try'`)
	tb.presses(t, "Publish")
	tb.sees(t, ".good", "201")
	tb.enters(t, "[name=topic]", "tickets")
	tb.presses(t, "Publish")
	tb.sees(t, ".bad", "403 topic-forbidden")
	if got := tb.texts(t, ".try .note"); len(got) != 0 {
		t.Errorf("the page says %v to who may publish", got)
	}
}

func (s *site) requestsFor(path string) []request {
	return slices.DeleteFunc(s.requests.all(), func(r request) bool { return r.Path != path })
}
