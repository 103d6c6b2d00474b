package console_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestWalk is a new user's first day: the log is empty, an event is published by hand, the laptop is closed while more
// arrive, and opened again. Each step leaves a picture in the folder that TIDINGS_SHOTS names.
func TestWalk(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		language, theme string
		width           int64
	}{
		{"en", "light", 1440},
		{"zh-CN", "dark", 360},
		{"en", "light", 360},
	} {
		t.Run(fmt.Sprintf("%s %d", row.language, row.width), func(t *testing.T) {
			t.Parallel()
			s, p := newSite(t), newProfile(t)
			tb := p.openView(t, s, row.language, row.width)
			step := 0
			picture := func(name string) {
				step++
				tb.shoot(t, fmt.Sprintf("walk-%s-%d-%d-%s.png", row.language,
					row.width, step, name))
			}
			tb.holds(t, `$('.connection[data-state=live]') && $('.empty')`)
			tb.chooses(t, row.theme)
			picture("nothing yet")

			tb.clicks(t, "nav a[href='#/try']")
			tb.holds(t, `$('.try .command code').textContent.includes('curl')`)
			picture("try it")
			tb.clicks(t, ".try button.primary")
			tb.holds(t, `$('.try .good')`)
			picture("published")

			tb.clicks(t, "nav a[href='#/alerts']")
			tb.holds(t, `$$('.event.unread').length === 1`)
			tb.holds(t, `document.title.startsWith('(1)')`)
			picture("seen")

			tb.freeze(t)
			s.publishSample(t)
			tb.thaw(t)
			tb.lookAt(t)
			tb.holds(t, `$('.event.missed')?.textContent.includes('18')`)
			tb.holds(t, `document.title.startsWith('(19)')`)
			tb.eval(t, `scrollTo(0, 0)`)
			picture("what was missed")

			tb.clicks(t, ".event .tools button:nth-of-type(2)")
			tb.holds(t, `$('dialog .payload')`)
			picture("an event in full")
			tb.clicks(t, "dialog .close")

			tb.clicks(t, ".page-head button")
			tb.holds(t, `!$('.event.unread') && !document.title.startsWith('(')`)
			picture("all read")
			tb.do(t, chromedp.Reload())
			tb.holds(t, `$('.connection[data-state=live]') && $('.event')`)
			tb.holds(t, `!$('.event.unread')`)
			for _, at := range []struct{ page, row string }{{"shift", "tidings-alarm"}, {"deliveries", ".state"},
				{"log", ".log-row"},
				{"topics", "tbody tr"}, {"connections", "tbody tr"}, {"server", ".facts"}} {
				tb.clicks(t, fmt.Sprintf("nav a[href='#/%s']", at.page))
				tb.holds(t, fmt.Sprintf(`$('.%s %s')`, at.page, at.row))
				picture(at.page)
			}
		})
	}
}

// lookAt makes a tab the one that a person looks at, which it no longer is after being frozen.
func (tb *tab) lookAt(t *testing.T) {
	t.Helper()
	if _, err := chromedp.Call(tb.ctx, emulation.SetFocusEmulationEnabled,
		emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
}

// shoot takes a picture of what is in view.
func (tb *tab) shoot(t *testing.T, name string) {
	t.Helper()
	picture, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(shotsDir(t), name), picture, 0o644)
	}
	if err != nil {
		t.Fatalf("take a picture: %v", err)
	}
}

// shotsDir returns where pictures go: with "go test -artifacts" they are kept, too.
func shotsDir(t *testing.T) string {
	if dir := os.Getenv("TIDINGS_SHOTS"); dir != "" {
		return dir
	}
	return t.ArtifactDir()
}
