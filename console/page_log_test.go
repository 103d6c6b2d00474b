package console_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/storetest"
)

// walkLog scrolls through the log's page to its end, and returns the IDs that it passes, in order.
func (tb *tab) walkLog(t *testing.T, down bool) []string {
	t.Helper()
	atEnd := `shown('Look for newer')`
	if down {
		atEnd = `shown('Nothing is older than this.')`
	}
	return value[[]string](t, tb, fmt.Sprintf(
		`walk('.log-rows a', ({ href }) => new URL(href).hash.split('id=')[1], %v, () => %s)`, down,
		atEnd))
}

// TestConsoleLogBothWays: from now to the start of the log and back, over more events than the page holds at a time,
// without a hole.
func TestConsoleLogBothWays(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	for range 5 {
		s.publish(t, "orders", 700)
	}
	want := s.ids(t)
	tb := p.openConsole(t, s, "/#/log")
	tb.do(t, chromedp.EmulateViewport(1200, 4000))
	tb.sees(t, ".log-row", "orders")
	got := tb.walkLog(t, true)
	slices.Reverse(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log on the way back (-log +shown):\n%.1000s", diff)
	}
	want = append(want, s.publish(t, "orders", 1))
	if diff := cmp.Diff(want, tb.walkLog(t, false)); diff != "" {
		t.Errorf("the log on the way forward (-log +shown):\n%.1000s", diff)
	}
}

// TestConsoleLogSince: the page goes to a time and shows at its top what arrived then; newer events are above, older
// ones below.
func TestConsoleLogSince(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	before, err := store.ParseID(s.publish(t, "orders", 150))
	if err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "later time", func() bool {
		return time.Now().UnixMilli() > before.Time().UnixMilli()
	})
	s.publish(t, "orders", 150)
	first := s.ids(t)[150]
	since := strings.Trim(string(s.event(t, first)["time"]), `"`)
	s.publish(t, "orders", 150)
	tb := p.openConsole(t, s, "/#/log?since="+since)
	tb.holds(t, `(() => {
		const top = $$('.log-row').find(row => row.getBoundingClientRect().bottom > parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) + 1);
		return top.querySelector('a').href.endsWith(`+quote(first)+`);
	})()`)
	want := s.ids(t)
	newer := tb.walkLog(t, false)
	if diff := cmp.Diff(want[150:], newer[slices.Index(newer, first):]); diff != "" {
		t.Errorf("newer than the time (-log +shown):\n%.1000s", diff)
	}
	got := tb.walkLog(t, true)
	slices.Reverse(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("older than the time (-log +shown):\n%.1000s", diff)
	}

	// A person types the time in their own time zone, to the second.
	tb.enters(t, "[name=since]", "2000-01-01T00:00:00")
	tb.presses(t, "Show")
	tb.holds(t,
		`location.hash.startsWith('#/log?since=') && $('.log-row:last-of-type a').href.endsWith(`+
			quote(want[0])+`)`)
}

// TestConsoleLogFilter: the log shows one topic, a pattern or one type, and says so if nothing matches.
func TestConsoleLogFilter(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.post(t, "orders.eu", "order.created", "application/json", `{"n":1}`)
	s.post(t, "orders.us", "order.paid", "application/json", `{"n":2}`)
	s.post(t, "tickets", "order.created", "application/json", `{"n":3}`)
	for range 2 {
		s.publish(t, "orders.eu", 700) // of another type, more than a page
	}
	tb := p.openConsole(t, s, "/#/log")
	tb.sees(t, ".log-row", "orders.eu")
	for _, row := range []struct{ topic, kind, want string }{
		{"", "order.created", `{"n":3} {"n":1}`},
		{"orders.*", "order.created", `{"n":1}`},
		{"orders.us", "", `{"n":2}`},
		{"tickets", "order.paid", ""},
	} {
		tb.enters(t, "[name=topic]", row.topic)
		tb.enters(t, "[name=type]", row.kind)
		tb.presses(t, "Show")
		tb.holds(t, fmt.Sprintf(`$$('.log-row .summary').map(({ innerText }) => innerText).join(' ') === %q && $('[name=type]').value === %[2]q &&
			(shown('Nothing is older than this.') || shown('No events match.'))`, row.want, row.kind))
	}
	tb.enters(t, "[name=topic]", "orders..eu")
	tb.presses(t, "Show")
	tb.sees(t, ".problem", "orders..eu")
}

// TestConsoleLogGap: where events are gone the log says so at their position, for as long as that is shown.
func TestConsoleLogGap(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	when := func(id string) string { return strings.Trim(string(s.event(t, id)["time"]), `"`) }
	before := when(s.publish(t, "tickets", 50))
	since := before
	for since == before {
		since = when(s.publish(t, "orders", 1))
	}
	first := s.publish(t, "orders", 1)
	s.trim(t, "orders", first)
	for range 3 {
		s.publish(t, "orders", 100)
	}
	tb := p.openConsole(t, s, "/#/log?since="+since)
	between := fmt.Sprintf(`(gap => gap.innerText.includes('Retention deleted some events') && gap.previousElementSibling.querySelector('a').href.endsWith(%q) &&
		gap.nextElementSibling.innerText.includes('tickets') && gap.getBoundingClientRect().bottom < innerHeight)($('.log-rows .gap'))`, first)
	// below what is at the top
	tb.holds(t, between+` && $('.log-rows .gap').getBoundingClientRect().top > 100`)
	tb.walkLog(t, false)
	got := tb.walkLog(t, true)
	slices.Reverse(got)
	if diff := cmp.Diff(s.ids(t), got); diff != "" {
		t.Errorf("the log (-log +shown):\n%.1000s", diff)
	}
	tb.holds(t, `(scrollBy({ top: -200, behavior: 'instant' }), `+between+`)`)
}

// TestConsoleDamaged: events with damaged records are reported at their positions, once each, in the log and among the
// alerts, even if the first and the newest are among them.
func TestConsoleDamaged(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	for _, text := range []string{"first of five", "second of five", "third of five",
		"fourth of five", "fifth of five"} {
		s.post(t, "orders", "", "application/json", fmt.Sprintf(`{"title":%q}`, text))
	}
	for _, text := range []string{"first of five", "third of five", "fifth of five"} {
		storetest.Flip(t, filepath.Join(s.options.DataDir, "log.db"), text)
	}
	s.server.Kill() // what it has in memory is intact
	s.start(t)
	tb := p.openConsole(t, s, "/")
	tb.holds(t,
		`$$('.feed article').map(article => article.matches('.gap') ? 'gap' : article.querySelector('h2').lastChild.textContent).join() === 'gap,fourth of five,gap,second of five,gap'`)
	for _, since := range []string{"", "?since=2020-01-01T00:00:00Z"} {
		tb.eval(t, `location.hash = '#/topics'`)
		tb.holds(t, `!$('.log-rows')`)
		tb.eval(t, fmt.Sprintf(`location.hash = '#/log%s'`, since))
		tb.holds(t,
			`$$('.log-rows > *').map(row => row.matches('.gap') ? 'gap' : /(\w+) of five/.exec(row.textContent)[1]).join() === 'gap,fourth,gap,second,gap'`)
	}
}

// TestConsoleLogPhone: on a phone the form is folded, and the query is still shown.
func TestConsoleLogPhone(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.publish(t, "orders", 3)
	tb := p.openView(t, s, "en", 360)
	tb.eval(t, `location.hash = '#/log'`)
	tb.presses(t, "Filter, or go to a time")
	tb.enters(t, "[name=topic]", "orders.>")
	tb.presses(t, "Show")
	tb.sees(t, "summary", "Filter: orders.>")
	tb.holds(t,
		`!$('details').open && shown('No events match.') && $('.log-end').getBoundingClientRect().bottom < innerHeight`)
}

// TestConsoleEventInHistory: an event has its own address; Back closes it and leaves the list where it was.
func TestConsoleEventInHistory(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.publish(t, "orders", 300)
	tb := p.openConsole(t, s, "/#/server")
	tb.sees(t, ".server", "Engine")
	tb.presses(t, "Log")
	tb.sees(t, ".log-row", "orders")
	tb.eval(t, `scrollBy(0, 2000)`)
	tb.holds(t, `$$('.log-row').some(row => row.getBoundingClientRect().top > 300)`)
	tb.eval(t,
		`globalThis.row = $$('.log-row').find(row => row.getBoundingClientRect().top > 300); row.querySelector('a').click()`)
	tb.holds(t, `shown('Publish the same again', 'dialog') && location.hash.includes('id=')`)
	tb.eval(t, `history.back()`)
	tb.holds(t, `!$('dialog') && location.hash === '#/log' && row.isConnected && scrollY > 1000`)
	tb.eval(t, `history.forward()`)
	tb.sees(t, "dialog", "Publish the same again")
	tb.presses(t, "Close")
	tb.holds(t, `!$('dialog') && location.hash === '#/log' && row.isConnected`)
	tb.eval(t, `history.back()`)
	tb.sees(t, ".server", "Engine")

	tb.eval(t, `location.hash = '#/log?id=`+s.ids(t)[7]+`'`) // as a link from elsewhere does
	tb.sees(t, "dialog", s.ids(t)[7])
	tb.presses(t, "Close")
	tb.holds(t,
		`!$('dialog') && location.hash.startsWith('#/log') && !location.hash.includes('id=')`)
}

// TestConsoleDownload: the file contains the lines that the API returns.
func TestConsoleDownload(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	for range 2 {
		s.publish(t, "orders", 700)
		s.post(t, "tickets", "", "application/json", `{"number":9007199254740993,"text":"\u00e9"}`)
		s.post(t, "orders", "", "text/plain", "two\nlines")
	}
	tb := p.openConsole(t, s, "/#/log?topic=orders")
	dir, events := t.TempDir(), true
	_, err := chromedp.CallBrowser(tb.ctx, browser.SetDownloadBehavior,
		browser.SetDownloadBehaviorParams{
			Behavior:         browser.SetDownloadBehaviorBehaviorAllowAndName,
			BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
			DownloadPath:     dir, EventsEnabled: &events,
		})
	if err != nil {
		t.Fatal(err)
	}
	progress := chromedp.BrowserEvents(tb.ctx, browser.DownloadProgress)
	tb.presses(t, "Download…")
	tb.presses(t, "Start")
	tb.sees(t, "dialog", "Complete: 1,402 events")
	tb.presses(t, "Save the file")
	var name string
	for event, err := range progress {
		if err != nil {
			t.Fatal(err)
		}
		if event.State == browser.DownloadProgressStateCompleted {
			name = event.GUID
			break
		}
	}
	got, err := os.ReadFile(dir + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.lines(t, "orders"), string(got)); diff != "" {
		t.Errorf("the file (-API +file):\n%.1000s", diff)
	}
}

// lines returns a topic as NDJSON, as in the API's pages.
func (s *site) lines(t *testing.T, topic string) (text string) {
	t.Helper()
	after := strings.Repeat("0", 26)
	for caughtUp := ""; caughtUp != "true"; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			s.server.URL()+"/v1/events?limit=1000&topic="+topic+"&after="+after, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/x-ndjson")
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		text += string(page)
		after, caughtUp = resp.Header.Get("Tidings-Next"), resp.Header.Get("Tidings-Caught-Up")
	}
	return text
}
