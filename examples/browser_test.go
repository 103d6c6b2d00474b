package examples_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tidings/internal/e2e"
)

// profile is what the tabs of one browser share: storage and cookies. A person's two devices are two of them.
type profile struct{ ctx context.Context }

func newProfile(t *testing.T) *profile { return &profile{e2e.Profile(t)} }

// tab is a tab with a page of an example.
type tab struct{ ctx context.Context }

func (p *profile) open(t *testing.T, address string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(p.ctx)
	t.Cleanup(cancel)
	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatalf("open %s: %v", address, err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		body, err := chromedp.Run(ctx,
			chromedp.Evaluate[string](
				"[...document.body.children].filter(e => e.localName !== 'script').map(e => e.outerHTML).join('')"))
		t.Logf("the page, %v:\n%s", err, body)
		cancel()
		for m, err := range messages {
			if err != nil {
				return
			}
			t.Logf("the page's console: %v", m)
		}
	})
	return &tab{ctx}
}

// do runs actions, such as a click or a reload.
func (tb *tab) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func (tb *tab) close(t *testing.T) {
	t.Helper()
	if err := chromedp.Cancel(tb.ctx); err != nil {
		t.Fatal(err)
	}
}

// value returns what a script evaluates to, as text.
func (tb *tab) value(t *testing.T, script string) string {
	t.Helper()
	text, err := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("String("+script+")"))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return text
}

// await waits until a script evaluates to a text.
func (tb *tab) await(t *testing.T, script, want string) {
	t.Helper()
	condition := "String(" + script + ") === " + strconv.Quote(want)
	_, err := chromedp.Run(tb.ctx,
		chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(10*time.Millisecond),
			chromedp.WithPollingTimeout(e2e.Patience)))
	if err != nil {
		t.Fatalf("%s is %q, want %q: %v", script, tb.value(t, script), want, err)
	}
}

// textOf returns a script for the text of an element.
func textOf(id string) string { return "document.getElementById('" + id + "')?.textContent" }

// linesOf returns a script for the texts of a list's items.
func linesOf(id string) string {
	return "[...document.querySelectorAll('#" + id + " li')].map(li => li.textContent).join('\\n')"
}
