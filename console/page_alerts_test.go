package console_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

const (
	shopOrder = `{"id":727,"number":"1001","status":"processing","currency":"EUR","total":"29.35","customer_note":"Ring twice",
		"billing":{"first_name":"Ada","last_name":"Lovelace"},"line_items":[{"name":"Earl Grey","quantity":2},{"name":"Cup","quantity":1}]}`
	trackerComment = `{"action":"created","issue":{"number":42,"title":"Wrong total","state":"open"},
		"comment":{"body":"I can reproduce this","user":{"login":"grace"}},"repository":{"full_name":"acme/shop"}}`
	trackerTicket = `{"action":"opened","issue":{"number":43,"title":"Refund fails","state":"open","body":"After a reload",
		"labels":[{"name":"billing"}],"user":{"login":"alan"}},"repository":{"full_name":"acme/shop"}}`
)

// card is an alert as it is shown.
type card struct {
	Title, State, Amount, Text, Topic string
	Facts                             []string
	Unread                            bool
}

func (tb *tab) cards(t *testing.T) []card {
	t.Helper()
	return value[[]card](t, tb, `$$('.feed article').map(article => {
		const text = selector => article.querySelector(selector)?.innerText ?? '';
		return {
			Title: article.querySelector('h2').lastChild.textContent, State: text('.state'), Amount: text('.amount'), Text: text('.text'),
			Topic: text('.topic'), Facts: [...article.querySelectorAll('.event-facts > span')].map(fact => fact.innerText),
			Unread: article.matches('.unread'),
		};
	})`)
}

// TestConsoleAlerts: an event is shown at once, with what a person looks for in it, and counted until it is read.
func TestConsoleAlerts(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/")
	tb.sees(t, ".empty", "No events yet")
	tb.isLive(t)
	s.post(t, "orders", "order.created", "application/json", shopOrder)
	s.post(t, "comments", "comment.created", "application/json", trackerComment)
	s.post(t, "tickets", "ticket.opened", "application/json", trackerTicket)
	tb.holds(t, `document.title === '(3) Alerts · Tidings' && $$('.feed article').length === 3`)
	tb.sees(t, ".count", "3 unread")
	tb.sees(t, "nav .badge", "3")
	want := []card{
		{"#43 Refund fails", "open", "", "After a reload", "tickets",
			[]string{"opened", "alan", "acme/shop", "billing"}, true},
		{"Comment on #42 Wrong total", "open", "", "I can reproduce this", "comments",
			[]string{"created", "grace", "acme/shop"}, true},
		{"Order 1001", "processing", "€29.35", "Ring twice", "orders",
			[]string{"Ada Lovelace", "2 × Earl Grey, 1 × Cup"}, true},
	}
	if diff := cmp.Diff(want, tb.cards(t)); diff != "" {
		t.Errorf("the alerts (-want +got):\n%s", diff)
	}

	tb.eval(t, `$$('.feed article')[1].querySelector('.read').click()`) // up to the comment
	tb.holds(t, `document.title === '(1) Alerts · Tidings'`)
	want[1].Unread, want[2].Unread = false, false
	if diff := cmp.Diff(want, tb.cards(t)); diff != "" {
		t.Errorf("after the comment is read (-want +got):\n%s", diff)
	}
	tb.presses(t, "Mark all read")
	tb.holds(t, `document.title === 'Alerts · Tidings' && !$('.feed .unread')`)
	if icon := value[string](t, tb,
		`$('link[rel=icon]').getAttribute('href')`); icon != "console/icon.svg" {
		t.Errorf("nothing is unread, and the icon is still %.40s", icon)
	}
	var mark struct{ ID string }
	s.ask(t, http.MethodGet, "/v1/cursors/console", "", "", &mark)
	if ids := s.ids(t); mark.ID != ids[2] {
		t.Errorf("the read mark is %s, want the last event's %s", mark.ID, ids[2])
	}

	tb.presses(t, "Data")
	tb.sees(t, ".feed pre", `"title": "Refund fails"`)
}

// TestConsoleAlertRest: of an event of an unknown kind, what is not shown elsewhere is shown in a line, but no number
// that was not sent.
func TestConsoleAlertRest(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.post(t, "orders", "", "application/json",
		`{"name":"Earl Grey","account":9007199254740993,"left":4,"in":["Hamburg"],"total":1.5,"currency":"EUR"}`)
	s.post(t, "orders", "", "application/json", `{"name":"No more than a name"}`)
	s.post(t, "orders", "", "application/json", `9007199254740993`)
	tb := p.openConsole(t, s, "/")
	tb.holds(t, `$$('.feed article').length === 3`)
	if diff := cmp.Diff([]string{`"…"`, `account: "…", left: 4, in: ["Hamburg"]`},
		tb.texts(t, ".feed .text")); diff != "" {
		t.Errorf("the alerts' texts (-want +got):\n%s", diff)
	}
}

// TestConsoleOlderAlerts: scrolling down brings everything there is, once and in order; unread events are counted from
// the start.
func TestConsoleOlderAlerts(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	for range 3 {
		s.publish(t, "orders", 110)
	}
	tb := p.openConsole(t, s, "/#/alerts")
	tb.holds(t, `document.title === '(330) Alerts · Tidings'`)
	got := value[[]string](t,
		tb,
		`walk('.feed article h2', ({ id }) => id.slice('title-'.length), true, () => shown('Nothing came before this.'))`)
	slices.Reverse(got)
	if diff := cmp.Diff(s.ids(t), got); diff != "" {
		t.Errorf("the alerts, from the last (-log +shown):\n%s", diff)
	}
	s.post(t, "orders", "", "application/json", `{"title":"While the reader is below"}`)
	tb.sees(t, ".fresh", "↑ 1 new")
	tb.eval(t, `$('.fresh').click()`)
	tb.sees(t, ".feed", "While the reader is below")
}

// TestConsoleWatch: a person can watch only some topics, and the choice outlives a reload.
func TestConsoleWatch(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.post(t, "orders.eu", "", "application/json", `{"title":"An order"}`)
	s.post(t, "tickets", "", "application/json", `{"title":"A ticket"}`)
	tb := p.openConsole(t, s, "/")
	tb.sees(t, ".feed", "A ticket")
	tb.enters(t, "#watched", "orders..eu")
	tb.presses(t, "Watch")
	tb.sees(t, "#watched-hint", "“orders..eu” is not a topic or pattern.")
	tb.enters(t, "#watched", "orders.>")
	tb.presses(t, "Watch")
	for range 2 {
		tb.holds(t,
			`document.title === '(1) Alerts · Tidings' && $$('.feed article').length === 1 && shown('An order')`)
		tb.isLive(t)
		s.post(t, "tickets", "", "application/json", `{"title":"Another ticket"}`)
		tb.do(t, chromedp.Reload())
	}
}
