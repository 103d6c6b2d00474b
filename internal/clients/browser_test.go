package clients_test

import (
	"fmt"
	"net/http"
	"path"
	"sync"
	"testing"

	"tidings/internal/e2e"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

func chromiumEventSource(t *testing.T, url string) (*follower, string) {
	t.Helper()
	return followInTab(t, fmt.Sprintf("import('/events.js').then(m => m.follow(EventSource, %q))",
		url))
}

func fetchEventSource(t *testing.T, url string) (*follower, string) {
	t.Helper()
	return followByFetch(t, fmt.Sprintf("m.follow(%q)", url))
}

// followByFetch calls a function of testdata/fetch.js, the module m.
func followByFetch(t *testing.T, call string) (*follower, string) {
	t.Helper()
	version := packageVersion(t, "@microsoft/fetch-event-source")
	f, product := followInTab(t, fmt.Sprintf("import('/fetch.js').then(m => %s)", call))
	return f, version + " in " + product
}

// followInTab runs a script, which logs lines for parseReport, in a new tab. It also returns the browser's name and
// version.
func followInTab(t *testing.T, script string) (f *follower, product string) {
	t.Helper()
	tab, cancel := chromedp.NewContext(e2e.Profile(t))
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	version, err := chromedp.CallBrowser(tab, browser.GetVersion, cdp.Empty{})
	if err != nil {
		t.Fatalf("ask the browser for its version: %v", err)
	}
	f = newFollower()
	messages := chromedp.Console(tab)
	wg.Go(func() {
		for m, err := range messages {
			if err == nil && m.Type == "log" {
				f.add(parseReport(m.Text))
			}
		}
	})
	if err := chromedp.Do(tab, chromedp.Navigate(pages.URL),
		chromedp.Evaluate[chromedp.Void](script)); err != nil {
		t.Fatalf("run the page: %v", err)
	}
	return f, version.Product
}

// servePage serves an empty page and the files of testdata. The packages' modules import others without the file
// extension.
func servePage(w http.ResponseWriter, r *http.Request) {
	name := path.Clean(r.URL.Path)
	switch {
	case name == "/":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>A page that follows a stream</title>")
		return
	case path.Ext(name) == "":
		name += ".js"
	}
	http.ServeFile(w, r, "testdata"+name)
}
