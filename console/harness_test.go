// The tests of this package run what it serves in Chromium, against the real binary over real HTTP. A [site] is a
// server behind a proxy that can fail as networks do, a [tab] is a tab of a browser that reports what the listeners of
// its page's client get. The verdict is always the same: each tab gets the log from where it started, each event once,
// in order.
package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"tidings/internal/e2e"
)

// binary is the command under test. TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) { os.Exit(e2e.Main(m, &binary, 8)) }

// profile is what tabs of one browser share: storage, cookies, locks.
type profile struct{ ctx context.Context }

func newProfile(t *testing.T) *profile { return &profile{e2e.Profile(t)} }

// report is an event that a page reports: from its client, or one that no test should see.
type report struct {
	N      int // of its tab
	Type   string
	Detail map[string]any
}

// tab is a tab with a page, and what was reported there over all its loads.
type tab struct {
	ctx     context.Context
	reports record[report]
	read    int  // how many of the reports await has gone through
	unruly  bool // it may violate the policy and throw
}

// open opens a page. The early scripts run before the page's own, at every load.
func (p *profile) open(t *testing.T, address string, early ...string) *tab {
	t.Helper()
	tb := &tab{}
	ctx, cancel := chromedp.NewContext(p.ctx)
	t.Cleanup(cancel)
	tb.ctx = ctx
	err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*runtime.EventConsoleAPICalled); ok &&
			e.Type == runtime.ConsoleAPICalledTypeDebug {
			// After a lost one the page's next load repeats them all.
			if r := parseReport(e.Args); r.N == tb.reports.len() {
				tb.reports.add(r)
			}
		}
	})
	if err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	for _, script := range early {
		if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
			t.Fatal(err)
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatalf("open %s: %v", address, err)
	}
	t.Cleanup(func() {
		for _, r := range tb.reports.all() {
			if !tb.unruly && (r.Type == "violation" || r.Type == "exception") {
				t.Errorf("the page reports %v", r)
			}
		}
		if t.Failed() {
			t.Logf("a tab was given:\n%s", tb.story())
		}
	})
	return tb
}

func parseReport(args []*runtime.RemoteObject) (r report) {
	var text string
	err := json.Unmarshal(args[0].Value, &text)
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil {
		return report{Type: "exception", Detail: map[string]any{"message": err.Error()}}
	}
	return r
}

// openClient opens the page whose client has these options, as JSON.
func (p *profile) openClient(t *testing.T, s *site, options string, early ...string) *tab {
	t.Helper()
	return p.open(t, s.URL+"/test/?"+url.PathEscape(options), early...)
}

func (tb *tab) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// eval runs a script in the page.
func (tb *tab) eval(t *testing.T, script string) {
	t.Helper()
	tb.do(t, chromedp.Evaluate[chromedp.Void](script))
}

// value returns what a script evaluates to, awaiting a promise.
func value[T any](t *testing.T, tb *tab, script string) T {
	t.Helper()
	v, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

func (tb *tab) close(t *testing.T) {
	t.Helper()
	if err := chromedp.Cancel(tb.ctx); err != nil {
		t.Fatal(err)
	}
}

// is reports whether a report has a type and these details: alternating names and values.
func (r report) is(kind string, details ...any) bool {
	for i := 0; i < len(details); i += 2 {
		if r.Detail[details[i].(string)] != details[i+1] {
			return false
		}
	}
	return r.Type == kind
}

// await waits for the next report that matches, and continues after it.
func (tb *tab) await(t *testing.T, kind string, details ...any) report {
	t.Helper()
	var found report
	tb.reports.await(t, fmt.Sprint(kind, details), func(reports []report) bool {
		for i, r := range reports[tb.read:] {
			if r.is(kind, details...) {
				found, tb.read = r, tb.read+i+1
				return true
			}
		}
		return false
	})
	return found
}

// given returns the details of all reports of a type.
func (tb *tab) given(kinds ...string) []map[string]any {
	var details []map[string]any
	for _, r := range tb.reports.all() {
		if slices.Contains(kinds, r.Type) {
			details = append(details, r.Detail)
		}
	}
	return details
}

// story summarizes what the tab got.
func (tb *tab) story() (text string) {
	events := 0
	for _, r := range append(tb.reports.all(), report{}) {
		if r.Type == "event" {
			events++
			continue
		}
		if events > 0 {
			text += fmt.Sprintf("%d events\n", events)
		}
		events = 0
		text += fmt.Sprintln(r.Type, r.Detail)
	}
	return text
}
