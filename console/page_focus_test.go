package console_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// enter presses Enter on a visible element, and expects the focus to be elsewhere afterwards.
func (tb *tab) enter(t *testing.T, element, focus string) {
	t.Helper()
	tb.holds(t, `(`+element+`).checkVisibility()`)
	tb.eval(t, `(`+element+`).focus()`)
	tb.do(t, chromedp.KeyEvent(kb.Enter))
	tb.holds(t, `document.activeElement.matches(`+quote(focus)+`)`)
}

// TestConsoleFocus: when a pressed control disappears, a keyboard user continues from the same place.
func TestConsoleFocus(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.publish(t, "orders", 3)
	s.ask(t, http.MethodPost, "/v1/topics/orders/events", "text/plain",
		strings.Repeat("long ", 40_000), nil)
	tb := p.openConsole(t, s, "/")
	tb.enter(t, `$$('.feed .read')[2]`, "article:nth-of-type(3)")
	tb.holds(t, `document.title.startsWith('(2)')`)
	tb.eval(t, `$('.page-head button').focus()`)
	tb.do(t, chromedp.KeyEvent(kb.Enter))
	tb.holds(t, `$('.page-head button').hidden && document.activeElement === $('h1')`)

	tb.enters(t, "#watched", "orders")
	tb.enter(t, `$('.watch button')`, "main")

	tb.eval(t, `location.hash = '#/log'`)
	tb.holds(t, `$('.log-row a')`)
	tb.eval(t, `$('.log-row a').focus(); $('.log-row a').click()`)
	tb.holds(t, `document.activeElement === $('.close')`)
	tb.enter(t, `$('dialog section > button')`, ".payload")
	tb.holds(t, `!$('dialog section > button') && $('.payload').textContent.length === 200_000`)
	tb.presses(t, "Close")
	tb.holds(t, `!$('dialog') && document.activeElement === $('.log-row a')`)

	last := s.publish(t, "orders", 1)
	tb.enter(t, `globalThis.pressed = $('.log-end button')`, ".log-end button")
	tb.holds(t,
		fmt.Sprintf(
			`$('.log-row a').href.endsWith(%q) && !pressed.isConnected && document.activeElement === $('.log-end button')`,
			last))
}

// TestConsoleSays: a screen reader announces new events once: by name, by number, or as missed.
func TestConsoleSays(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/", clock(t))
	tb.isLive(t)
	tb.eval(t, `pass(1000)`)
	tb.eval(t, `{
		const announcer = $('body > [role=status]');
		new MutationObserver(() => report('said', { text: announcer.textContent })).observe(announcer, { childList: true });
	}`)
	comes := func(rows int) { // nothing is announced before time passes
		t.Helper()
		tb.holds(t, fmt.Sprintf(`$$('.feed article').length === %d`, rows))
		tb.eval(t, `pass(1000)`)
	}
	s.post(t, "orders", "", "application/json", shopOrder)
	comes(1)
	s.publish(t, "orders", 3)
	comes(4)
	tb.freeze(t)
	s.publish(t, "orders", 7)
	tb.wakes(t)
	tb.holds(t, `$('.feed .missed')`)
	comes(12)
	s.post(t, "orders", "", "application/json", shopOrder)
	comes(13)
	tb.await(t, "said", "text", "Order 1001")
	tb.await(t, "said", "text", "3 new alerts")
	tb.await(t, "said", "text", "Caught up on 7 missed events.")
	tb.await(t, "said", "text", "Order 1001")
	var said []string
	for _, detail := range tb.given("said") {
		said = append(said, detail["text"].(string))
	}
	said = slices.DeleteFunc(said, func(text string) bool {
		return slices.Contains([]string{"Connecting", "Catching up", "Live"}, text)
	})
	if diff := cmp.Diff([]string{"Order 1001", "3 new alerts", "Caught up on 7 missed events.",
		"Order 1001"}, said); diff != "" {
		t.Errorf("what is said (-want +got):\n%s", diff)
	}
}
