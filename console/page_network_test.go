package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"tidings/internal/auth"
	"tidings/internal/e2e"
)

// TestConsoleRestart: the console survives a kill of the server, gets what was published meanwhile, and says so.
func TestConsoleRestart(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/")
	tb.isLive(t)
	s.post(t, "orders", "", "application/json", `{"title":"Before"}`)
	tb.sees(t, ".feed", "Before")
	s.set(cut)
	s.server.Kill()
	tb.holds(t,
		`$('.connection').dataset.state === 'connecting' && shown('Connecting', '.connection')`)
	s.start(t)
	s.publish(t, "orders", 4)
	s.post(t, "orders", "", "application/json", `{"title":"While it was away"}`)
	s.set(none)
	tb.isLive(t)
	tb.saysMissed(t, 5)
	tb.holds(t,
		`document.title === '(6) Alerts · Tidings' && $$('.feed article:not(.missed)').length === 6`)
	s.post(t, "orders", "", "application/json", `{"title":"Afterwards"}`)
	tb.sees(t, ".feed", "Afterwards")
}

// saysMissed waits until the console says, above the missed events and to a screen reader, how many there were.
func (tb *tab) saysMissed(t *testing.T, n int) {
	t.Helper()
	text := fmt.Sprintf("Caught up on %d missed events.", n)
	tb.sees(t, ".feed .missed", text)
	tb.holds(t, `$$('[role=status]').some(({ textContent }) => textContent === `+quote(text)+`)`)
}

// stuck is the early script of a page whose requests matching globalThis.held are never answered.
const stuck = `{
	const answered = fetch;
	globalThis.fetch = (url, options) => globalThis.held?.test(url) ? new Promise(() => {}) : answered(url, options);
}`

// TestConsoleSlow: while a person waits, the page says for what.
func TestConsoleSlow(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/", stuck, `globalThis.held = /session/`)
	tb.sees(t, "main", "Loading…")
	tb = p.openConsole(t, s, "/", stuck, `globalThis.held = /events/`)
	tb.sees(t, ".alerts", "Loading…")
	tb.sees(t, ".alerts .note", "Not connected, retrying.")
}

// astray is the early script of a page whose requests matching globalThis.away are answered as by a proxy that cannot
// reach the server, or that wants a person to sign in.
const astray = `{
	const answered = fetch;
	globalThis.asked = 0;
	globalThis.fetch = (url, options) => globalThis.away?.test(url) && ++globalThis.asked ?
		Promise.resolve(new Response('<h1>Nothing here</h1>', { status: globalThis.status, headers: { 'Content-Type': 'text/html' } })) : answered(url, options);
}`

// TestConsoleRedeployed: what a proxy answers in place of the server passes, and ends nothing.
func TestConsoleRedeployed(t *testing.T) {
	t.Parallel()
	s := newGuardedSite(t)
	s.post(t, "orders", "", "application/json", `{"title":"Before"}`)
	token := s.mint(t, auth.Grant{Subject: "ada", Subscribe: filter(">"), Publish: filter(">")})
	for _, status := range []string{"404", "403", "401", "200"} {
		tb := newProfile(t).openConsole(t, s, "/#token="+token, astray, clock(t),
			`globalThis.away = /session/; globalThis.status = `+status)
		tb.sees(t, "main", "The server does not respond. Retrying…")
		tb.eval(t, `globalThis.away = /events/`)
		tb.holds(t, `(pass(100), shown('Loading…', '.alerts'))`)
		tb.eval(t, `globalThis.asked = 0`)
		tb.holds(t, `(pass(100), asked > 3 && shown('Loading…', '.alerts') && !$('.alerts .problem').innerText)`)
		tb.eval(t, `globalThis.away = undefined`)
		tb.holds(t, `(pass(100), shown('Before', '.feed') && $('.connection').dataset.state === 'live')`)
		tb.eval(t, `globalThis.away = /events/; location.hash = '#/log'`)
		tb.sees(t, ".log .problem", "HTTP "+status)
		tb.eval(t, `globalThis.away = undefined`)
		tb.presses(t, "Try again")
		tb.sees(t, ".log-rows", "Before")
		tb.close(t)
	}
}

// TestConsoleUnreachable: each page says that the server does not respond, and what follows from that, until it
// responds.
func TestConsoleUnreachable(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/", clock(t))
	tb.isLive(t)
	s.set(cut)
	tb.holds(t,
		`(pass(100), shown('Not connected, retrying. Nothing that arrives meanwhile is lost.', '.alerts .note'))`)
	for _, page := range []string{"topics", "connections", "server"} {
		tb.eval(t, `location.hash = '#/`+page+`'`)
		tb.sees(t, ".page."+page+" .problem", "The server does not respond. Retrying…")
	}
	tb.eval(t, `location.hash = '#/try'`)
	tb.presses(t, "Publish")
	tb.sees(t, ".try", "The server does not respond.")
	tb.sees(t, ".try", "Whether the event was stored is unknown")
	tb.eval(t, `location.hash = '#/server'`)
	tb.sees(t, ".problem", "Retrying…")
	s.set(none)
	tb.holds(t, `(pass(100), !$('.problem') && shown('Engine', '.server'))`)
	tb.eval(t, `location.hash = '#/alerts'`)
	tb.holds(t,
		`(pass(100), $('.connection').dataset.state === 'live' && !$('.alerts .note').innerText)`)

	tb.eval(t, `location.hash = '#/try'`)
	tb.enters(t, "[name=type]", "tidings.mine")
	tb.presses(t, "Publish")
	tb.sees(t, ".try .bad", "422 type-reserved")
	tb.sees(t, ".try", "Nothing was stored.")
}

// TestConsoleFrozen: what arrived while the browser had suspended the tab is there when it resumes, and the page says
// so.
func TestConsoleFrozen(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/")
	tb.isLive(t)
	tb.freeze(t)
	s.publish(t, "orders", 7)
	tb.wakes(t)
	tb.saysMissed(t, 7)
	tb.holds(t,
		`document.title === '(7) Alerts · Tidings' && $$('.feed article:not(.missed)').length === 7 && $('.connection').dataset.state === 'live'`)
}

// wakes ends a freeze, and shows the tab again, which the freeze hid.
func (tb *tab) wakes(t *testing.T) {
	t.Helper()
	tb.thaw(t)
	if _, err := chromedp.Call(tb.ctx, emulation.SetFocusEmulationEnabled,
		emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
}

// TestConsoleGap: if events were trimmed before the console got them, it shows that they are missing.
func TestConsoleGap(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/")
	tb.isLive(t)
	last := s.post(t, "orders", "", "application/json", `{"title":"Before"}`)
	tb.sees(t, ".feed", "Before")
	tb.freeze(t)
	s.publish(t, "orders", 20)
	s.trim(t, "orders", s.publish(t, "orders", 1))
	s.post(t, "orders", "", "application/json", `{"title":"Afterwards"}`)
	tb.wakes(t)
	tb.sees(t, ".feed", "Afterwards")
	tb.sees(t, ".feed .gap", "Events are missing here")
	tb.sees(t, ".feed .gap", "Retention deleted some events")
	tb.sees(t, ".feed .gap", last)
	tb.sees(t, ".feed", "Caught up") // shown last
	order := value[string](t,
		tb,
		`$$('.feed article').map(article => article.classList[1] === 'gap' ? 'gap' : article.querySelector('h2').lastChild.textContent).join(', ')`)
	if want := "Caught up on 2 missed events., Afterwards, message, gap, Before"; order != want {
		t.Errorf("from the top there are %s, want %s", order, want)
	}

	// Nor does the log's page hide what is gone.
	tb.eval(t, `location.hash = '#/log?id=`+last+`'`)
	tb.sees(t, "dialog", "That did not work: ")
}

// TestConsolePolling: behind something that holds streams up, the console polls, and says so.
func TestConsolePolling(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.set(buffering)
	tb := p.openConsole(t, s, "/", clock(t))
	tb.holds(t,
		`(pass(1000), $('.connection').dataset.state === 'polling') && shown('Polling', '.connection')`)
	s.post(t, "orders", "", "application/json", `{"title":"By polling"}`)
	tb.sees(t, ".feed", "By polling")
}

// TestConsoleReadMark: what is read on one device is read on all, without a reload; in this browser's other tabs, at
// once.
func TestConsoleReadMark(t *testing.T) {
	t.Parallel()
	s, here, there := newSite(t), newProfile(t), newProfile(t)
	s.publish(t, "orders", 60)
	tb, beside, elsewhere := here.openConsole(t, s, "/", clock(t)),
		here.openConsole(t, s, "/#/server"), there.openConsole(t, s, "/", clock(t))
	for _, one := range []*tab{tb, beside, elsewhere} {
		one.holds(t, `(globalThis.pass?.(100), document.title.startsWith('(60) '))`)
	}
	tb.eval(t, `$$('.feed article')[9].querySelector('.read').click()`)
	for _, one := range []*tab{tb, beside} {
		one.holds(t, `(globalThis.pass?.(100), document.title.startsWith('(9) '))`)
	}
	elsewhere.eval(t, `pass(30_000)`) // how often it looks
	elsewhere.holds(t,
		`(pass(100), document.title === '(9) Alerts · Tidings' && $$('.feed .unread').length === 9)`)
	s.publish(t, "orders", 3)
	elsewhere.holds(t, `(pass(100), document.title.startsWith('(12) '))`)
	tb.holds(t, `(pass(100), document.title.startsWith('(12) '))`)
	elsewhere.presses(t, "Mark all read")
	elsewhere.holds(t, `(pass(100), document.title === 'Alerts · Tidings')`)
	beside.close(t)
	n := len(s.requestsFor("/v1/cursors/console"))
	tb.eval(t, `dispatchEvent(new Event('focus'))`) // the person turns to this window
	s.requests.await(t, "look at the read mark", func([]request) bool {
		return len(s.requestsFor("/v1/cursors/console")) > n
	})
	tb.holds(t, `(pass(100), document.title === 'Alerts · Tidings' && !$('.feed .unread'))`)
}

// TestConsoleManyTabs: without HTTPS a browser has six connections for all its tabs, and no locks. All tabs share two,
// and continue when the tab that holds them is closed.
func TestConsoleManyTabs(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--allow-host", e2e.SiteName), newProfile(t)
	s.URL = strings.Replace(s.URL, "127.0.0.1", e2e.SiteName, 1)
	s.publish(t, "orders", 1)
	var tabs []*tab
	for range 7 {
		tb := p.openConsole(t, s, "/")
		tb.isLive(t)
		tabs = append(tabs, tb)
	}
	s.awaitSubscribers(t, 2) // for the feed, and for the shift
	s.publish(t, "orders", 1)
	for _, tb := range tabs {
		tb.holds(t, `document.title.startsWith('(2) ')`)
	}
	for _, tb := range tabs[:4] {
		tb.close(t)
	}
	s.publish(t, "orders", 1)
	for _, tb := range tabs[4:] {
		tb.holds(t, `document.title.startsWith('(3) ')`)
	}
	s.awaitSubscribers(t, 2)
}
