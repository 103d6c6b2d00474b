package console_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// openView opens a page of the console in a language and a window of this size in pixels.
func (p *profile) openView(t *testing.T, s *site, language string, width int64) *tab {
	t.Helper()
	tb := p.openConsole(t, s, "/",
		fmt.Sprintf(`localStorage.setItem('tidings language', %q)`, language))
	tb.resize(t, width)
	return tb
}

// resize resizes the window to a phone's or a desktop's.
func (tb *tab) resize(t *testing.T, width int64) {
	t.Helper()
	height := int64(800)
	if width < 600 {
		height = 740
	}
	tb.do(t, chromedp.EmulateViewport(width, height))
}

// clicks clicks the first visible element of a selector, once there is one, whatever the language of its text.
func (tb *tab) clicks(t *testing.T, selector string) {
	t.Helper()
	found := fmt.Sprintf(`$$(%q).find(element => element.checkVisibility())`, selector)
	tb.holds(t, found)
	tb.eval(t, found+`.click()`)
}

// chooses chooses in a select of the settings, as a person does.
func (tb *tab) chooses(t *testing.T, option string) {
	t.Helper()
	tb.eval(t, fmt.Sprintf(`{
		const option = $('#settings option[value=%q]');
		option.selected = true;
		option.parentElement.dispatchEvent(new Event('change'));
	}`, option))
}

// sample is that of examples/console: 18 events, one per line.
func sample(t *testing.T) string {
	t.Helper()
	lines, err := os.ReadFile("../examples/console/sample.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return string(lines)
}

func (s *site) publishSample(t *testing.T) {
	t.Helper()
	s.ask(t, http.MethodPost, "/v1/events", "application/x-ndjson", sample(t), nil)
}
