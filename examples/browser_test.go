package examples_test

import (
	"context"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tidings/internal/e2e"
)

// chromium is the browser that all tests share, each with profiles of its own. It starts with the first.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func stopBrowser() {
	if chromium.stop != nil {
		_ = chromedp.Cancel(chromium.ctx) // it may have ended
		chromium.stop()
	}
}

// profile is what tabs of one browser share: storage and cookies. A person's two devices are two of them.
type profile struct{ ctx context.Context }

func newProfile(t *testing.T) *profile {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed; .ci/run says what to install")
	}
	chromium.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true))
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		chromium.stop = stop
		chromium.ctx, _ = chromedp.NewContext(allocator)
		chromium.err = chromedp.Do(chromium.ctx)
	})
	if chromium.err != nil {
		t.Fatalf("start Chromium: %v", chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("make a profile: %v", err)
	}
	return &profile{ctx}
}

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
		body, err := chromedp.Run(ctx, chromedp.Evaluate[string]("[...document.body.children].filter(e => e.localName !== 'script').map(e => e.outerHTML).join('')"))
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

// value is what a script evaluates to, as text.
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
	_, err := chromedp.Run(tb.ctx, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(10*time.Millisecond), chromedp.WithPollingTimeout(e2e.Patience)))
	if err != nil {
		t.Fatalf("%s is %q, want %q: %v", script, tb.value(t, script), want, err)
	}
}

// textOf is a script for the text of an element.
func textOf(id string) string { return "document.getElementById('" + id + "')?.textContent" }

// linesOf is a script for the texts of a list's items.
func linesOf(id string) string {
	return "[...document.querySelectorAll('#" + id + " li')].map(li => li.textContent).join('\\n')"
}
