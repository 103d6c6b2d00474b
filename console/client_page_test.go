package console_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestPolicy: the test page has the console's policy. Every tab checks at its end that no test broke it; this test
// checks that a break would be noticed.
func TestPolicy(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openClient(t, s, `{"name":"me"}`)
	tb.await(t, "live")
	s.check(t, "", tb)
	if violations := tb.given("violation"); violations != nil {
		t.Errorf("the client breaks the policy: %v", violations)
	}
	tb.unruly = true
	for _, row := range []struct{ directive, script string }{
		{"connect-src", `fetch('https://example.com/')`},
		{"require-trusted-types-for", `document.body.innerHTML = '<p>'`},
		{"style-src-elem", `document.head.append(document.createElement('style'))`},
	} {
		tb.eval(t, `try { `+row.script+` } catch {}`)
		tb.await(t, "violation", "violatedDirective", row.directive)
	}
}

// TestListeners: what the page's listeners do does not change what they get.
func TestListeners(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, do string }{
		{"throw", `throw new Error('of the page')`},
		{"reconnect", `client.reconnect()`},
		{"wake up", `dispatchEvent(new Event('online'))`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			tabs := openTabs(t, s, p, 2, `{"name":"me"}`)
			for _, tb := range tabs {
				tb.unruly = true
				tb.eval(t,
					`client.addEventListener('event', ({ detail }) => { if (detail.data.n % 5 === 3) `+
						row.do+
						` })`)
			}
			s.publish(t, "orders", 50)
			s.check(t, "", tabs...)
		})
	}
}

// TestQuietCursor: the cursor of a tab that receives nothing advances, so that it does not expire.
func TestQuietCursor(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--heartbeat", "100ms"), newProfile(t)
	tabs := openTabs(t, s, p, 2, `{"name":"me","topics":["orders"]}`)
	id := s.publish(t, "tickets", 1)
	for _, tb := range tabs {
		e2e.Eventually(t, "move to "+id, func() bool {
			return value[string](t, tb, `client.cursor`) == id
		})
	}
	tabs[1].close(t)
	tabs[0].close(t)
	p.openClient(t, s, `{"name":"me","topics":["orders"]}`).await(t, "made", "cursor", id)
}

// TestBackForward: a page that the browser puts away whole, and takes out again, continues.
func TestBackForward(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), &profile{e2e.WindowProfile(t)}
	tb := p.openClient(t, s, `{"name":"me"}`)
	tb.await(t, "live")
	tb.await(t, "event", "id", s.publish(t, "orders", 5))
	tb.do(t, chromedp.Navigate(s.URL+"/healthz"))
	s.awaitSubscribers(t, 0)
	s.publish(t, "orders", 5)
	tb.eval(t, `history.back()`)
	tb.await(t, "live", "missed", 5.)
	s.check(t, "", tb)
	if n := len(tb.given("made")); n != 1 {
		t.Errorf("the browser made the page %d times, want once", n)
	}
}

// TestBackForwardBesideAnother: messages from other tabs may evict a page that was put away, so that it is reloaded.
// Neither tab loses anything, whichever leads.
func TestBackForwardBesideAnother(t *testing.T) {
	t.Parallel()
	for i, leads := range []string{"it led", "it followed"} {
		t.Run(leads, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), &profile{e2e.WindowProfile(t)}
			tabs := openTabs(t, s, p, 2, `{"name":"me"}`)
			away, other := tabs[i], tabs[1-i]
			last := s.publish(t, "orders", 5)
			for _, tb := range tabs {
				tb.await(t, "event", "id", last)
			}
			away.do(t, chromedp.Navigate(s.URL+"/healthz"))
			other.await(t, "event", "id", s.publish(t, "orders", 5))
			s.awaitSubscribers(t, 1)
			away.eval(t, `history.back()`)
			away.await(t, "live", "missed", 5.)
			s.check(t, "", tabs...)
			t.Logf("the browser made the page %d times", len(away.given("made")))
			s.awaitSubscribers(t, 1)
		})
	}
}

// TestCrash: a tab opened after another one has crashed continues where that one was.
func TestCrash(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	crashed := p.openClient(t, s, `{"name":"me"}`)
	crashed.await(t, "live")
	cursor := s.publish(t, "orders", 5)
	crashed.await(t, "event", "id", cursor)
	// A browser writes what a page stores a moment later: what it has not yet is repeated to the next tab.
	watcher := p.open(t, s.URL+"/healthz")
	e2e.Eventually(t, "cursor that survives the page", func() bool {
		return value[bool](t, watcher, fmt.Sprintf(`Object.values(localStorage).some(v => v.includes('%s'))`, cursor))
	})
	watcher.close(t)
	// nobody is left to respond
	go func() { _, _ = chromedp.Call(crashed.ctx, page.Crash, cdp.Empty{}) }()
	s.awaitSubscribers(t, 0)
	s.publish(t, "orders", 5)
	tb := p.openClient(t, s, `{"name":"me"}`)
	tb.await(t, "live", "missed", 5.)
	s.check(t, cursor, tb)
}

// TestInsecureContext: without TLS, and not on localhost, there are no locks, so each tab has its own connection.
func TestInsecureContext(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--allow-host", e2e.SiteName), newProfile(t)
	s.URL = strings.Replace(s.URL, "127.0.0.1", e2e.SiteName, 1)
	var tabs []*tab
	for range 2 {
		tb := p.openClient(t, s, `{"name":"me"}`)
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	if value[bool](t, tabs[0], `isSecureContext`) {
		t.Error("the browser takes the page for secure: the test shows nothing")
	}
	s.publish(t, "orders", 10)
	s.check(t, "", tabs...)
	if n := len(s.subscribers(t)); n != 2 {
		t.Errorf("the server has %d subscribers, want 2", n)
	}
}

// TestInsecureLocks: with the locks of locks.js tabs share a connection there, too. When the tab that holds it is
// closed, another one takes over.
func TestInsecureLocks(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, "--allow-host", e2e.SiteName), newProfile(t)
	s.URL = strings.Replace(s.URL, "127.0.0.1", e2e.SiteName, 1)
	var tabs []*tab
	for range 3 {
		tb := p.openClient(t, s, `{"name":"me","locks":true}`)
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	if value[bool](t, tabs[0], `!!navigator.locks`) {
		t.Error("the browser has locks: the test shows nothing")
	}
	s.publish(t, "orders", 10)
	s.check(t, "", tabs...)
	s.awaitSubscribers(t, 1)
	tabs[0].close(t)
	last := s.publish(t, "orders", 10)
	for _, tb := range tabs[1:] {
		tb.await(t, "event", "id", last)
	}
	s.check(t, "", tabs[1:]...)
	s.awaitSubscribers(t, 1)
}

// TestCrossOrigin: a page of another origin reads with a token if the server lists the origin.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	pages, p := newSite(t), newProfile(t)
	s := newGuardedSite(t, "--cors-origin", pages.URL)
	options := fmt.Sprintf(`{"name":"me","url":%q,"token":%q,"since":"earliest"}`, s.URL,
		s.token(time.Hour, ">"))
	s.publish(t, "orders", 300)
	var tabs []*tab
	for range 2 {
		tb := p.open(t, pages.URL+"/test/open?"+url.PathEscape(options))
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	s.publish(t, "orders", 10)
	s.check(t, "", tabs[0])
	if n := len(s.subscribers(t)); n != 1 {
		t.Errorf("the server has %d subscribers, want 1", n)
	}
	elsewhere := p.open(t, pages.URL+"/test/open?"+
		url.PathEscape(strings.Replace(options, `{"name":"me",`, `{`, 1)))
	elsewhere.await(t, "live")
	s.check(t, "", elsewhere)
}
