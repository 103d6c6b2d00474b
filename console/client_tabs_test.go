package console_test

import (
	"context"
	"os"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/debugger"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"tidings/internal/e2e"
)

// clock returns the script that puts the timers of a page under the test's control.
func clock(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile("testdata/clock.js")
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// freeze returns once the page has been told: the browser does not wait for that.
func (tb *tab) freeze(t *testing.T) {
	t.Helper()
	tb.eval(t,
		`globalThis.frozen = false; document.addEventListener('freeze', () => { globalThis.frozen = true; }, { once: true })`)
	tb.setLifecycle(t, page.SetWebLifecycleStateStateFrozen)
	e2e.Eventually(t, "freeze of the page", func() bool {
		return value[bool](t, tb, `globalThis.frozen === true`)
	})
}

func (tb *tab) thaw(t *testing.T) { tb.setLifecycle(t, page.SetWebLifecycleStateStateActive) }

func (tb *tab) setLifecycle(t *testing.T, state page.SetWebLifecycleStateState) {
	t.Helper()
	if _, err := chromedp.Call(tb.ctx, page.SetWebLifecycleState,
		page.SetWebLifecycleStateParams{State: state}); err != nil {
		t.Fatal(err)
	}
}

// hang stops a page's scripts at its next event, without announcing it. The returned function lets them continue.
func (tb *tab) hang(t *testing.T) (wake func()) {
	t.Helper()
	if _, err := chromedp.Call(tb.ctx, debugger.Enable, debugger.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	pause := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, debugger.Pause, cdp.Empty{})
		return err
	})
	paused := chromedp.WaitEvent(debugger.Paused, func(debugger.EventPaused) bool {
		return true
	}, pause)
	if _, err := chromedp.Run(tb.ctx, paused); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := chromedp.Call(tb.ctx, debugger.Disable, cdp.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
}

// openTabs opens tabs that share a connection. The first one leads.
func openTabs(t *testing.T, s *site, p *profile, n int, options string) []*tab {
	t.Helper()
	var tabs []*tab
	for range n {
		tb := p.openClient(t, s, options, clock(t))
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	if n := len(s.streams()); n != 1 {
		t.Fatalf("the tabs opened %d streams, want 1", n)
	}
	if n := len(s.subscribers(t)); n != 1 {
		t.Fatalf("the server has %d subscribers, want 1", n)
	}
	return tabs
}

// TestLeaderGone: whatever happens to the tab that holds the stream while events arrive, each tab gets all of them,
// over one connection.
func TestLeaderGone(t *testing.T) {
	t.Parallel()
	for _, fate := range []struct {
		name string
		// strike does something to the leader, and returns what brings it back, or nil.
		strike func(t *testing.T, leader, other *tab) (back func())
	}{
		{"closed", func(t *testing.T, leader, _ *tab) func() { leader.close(t); return nil }},
		{"reloaded", func(t *testing.T, leader,
			_ *tab) func() {
			leader.do(t, chromedp.Reload())
			return func() {}
		}},
		{"crashed", func(t *testing.T, leader, _ *tab) func() {
			// nobody is left to respond
			go func() { _, _ = chromedp.Call(leader.ctx, page.Crash, cdp.Empty{}) }()
			return nil
		}},
		{"frozen", func(t *testing.T, leader,
			_ *tab) func() {
			leader.freeze(t)
			return func() { leader.thaw(t) }
		}},
		{"hanging", func(t *testing.T, leader, other *tab) func() {
			wake := leader.hang(t)
			other.eval(t, `pass(60_000)`) // it has not heard from the leader for that long
			return wake
		}},
		{"put back", func(t *testing.T, leader, other *tab) func() {
			leader.eval(t,
				`dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))`)
			return func() {
				leader.eval(
					t, `dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))`)
			}
		}},
	} {
		t.Run(fate.name, func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			tabs := openTabs(t, s, p, 3, `{"name":"me"}`)
			end := s.burst(t)
			for _, tb := range tabs {
				tb.await(t, "event")
			}
			back := fate.strike(t, tabs[0], tabs[1])
			s.requests.await(t, "stream of another leader", func(r []request) bool {
				return len(streamsOf(r)) >= 2
			})
			for _, tb := range tabs[1:] {
				tb.await(t, "event") // a tab that reads meanwhile stays live throughout
			}
			if back == nil {
				tabs = tabs[1:]
			} else {
				back()
			}
			tabs[0].await(t, "event")
			end()
			s.check(t, "", tabs...)
			s.awaitSubscribers(t, 1)
		})
	}
}

// TestFollowerAway: a follower that was frozen or hung gets what the leader reported meanwhile.
func TestFollowerAway(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tabs := openTabs(t, s, p, 3, `{"name":"me"}`)
	tabs[1].freeze(t)
	end := s.burst(t)
	tabs[2].await(t, "event")
	wake := tabs[2].hang(t)
	tabs[0].await(t, "event")
	s.publish(t, "orders", 300) // more than a page
	tabs[1].thaw(t)
	wake()
	end()
	s.check(t, "", tabs...)
	if n := len(s.streams()); n != 1 {
		t.Errorf("the tabs opened %d streams, want 1", n)
	}
}

// TestOtherReaders: only clients with the same name and topics, and set to share, share a connection.
func TestOtherReaders(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	var tabs []*tab
	for _, options := range []string{
		// one
		`{"name":"me","topics":["orders","tickets"]}`,
		`{"name":"me","topics":["tickets","orders"]}`,
		`{"name":"you","topics":["orders","tickets"]}`, `{"name":"me","topics":["orders"]}`,
		`{"name":"me","shared":false}`,
	} {
		tb := p.openClient(t, s, options)
		tb.await(t, "live")
		tabs = append(tabs, tb)
	}
	if n := len(s.subscribers(t)); n != 4 {
		t.Errorf("the server has %d subscribers, want 4", n)
	}
	s.publish(t, "orders", 10)
	s.check(t, "", tabs...)
}

// TestFollowersAsk: followers ask the server when they open, and not again while events arrive.
func TestFollowersAsk(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tabs := openTabs(t, s, p, 2, `{"name":"me"}`)
	end := s.burst(t)
	tabs[0].await(t, "event")
	late := p.openClient(t, s, `{"name":"me"}`, clock(t)) // behind when it opens
	start := late.await(t, "made").Detail["cursor"].(string)
	late.await(t, "live")
	asked := len(s.pages())
	for range 20 { // one await for all 500 would need that many a second
		seen := tabs[0].reports.len()
		tabs[0].reports.await(t, "25 events more", func(r []report) bool {
			return len(r) >= seen+25
		})
	}
	end()
	s.check(t, "", tabs...)
	s.check(t, start, late)
	if n := len(s.pages()) - asked; n > 3 {
		t.Errorf("while events came the tabs asked for %d pages", n)
	}
}
