package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"tidings/internal/auth"
	"tidings/internal/e2e"
	"tidings/store"
)

// openConsole opens a page of the console and expects that it never loads anything from another origin.
func (p *profile) openConsole(t *testing.T, s *site, path string, early ...string) *tab {
	t.Helper()
	script, err := os.ReadFile("testdata/console.js")
	if err != nil {
		t.Fatal(err)
	}
	tb := p.open(t, "about:blank", slices.Concat([]string{string(script)}, early)...)
	var urls record[string]
	err = chromedp.Listen(tb.ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			urls.add(e.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tb.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, url := range urls.all() {
			url = strings.Replace(url, "//ann:secret@", "//", 1) // TestConsolePassword
			if !strings.HasPrefix(url, s.URL+"/") && !strings.HasPrefix(url, "data:") {
				t.Errorf("the page sends a request to %.200s", url)
			}
		}
		if urls.len() == 0 {
			t.Error("the page's requests are not seen")
		}
	})
	tb.do(t, chromedp.EmulateViewport(1200, 1000), chromedp.Navigate(s.URL+path))
	return tb
}

// holds waits until an expression is true. While it throws, what it looks for is not there yet.
func (tb *tab) holds(t *testing.T, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, e2e.Patience)
	defer cancel()
	attempt := fmt.Sprintf(`(() => { try { return !!(%s) } catch { return false } })()`, expression)
	for ctx.Err() == nil { // again, if the page was reloaded meanwhile
		if _, err := chromedp.Run(ctx,
			chromedp.Poll[bool](attempt, chromedp.WithPollingTimeout(0))); err == nil {
			return
		}
	}
	t.Fatalf("it never becomes true that %s, on the page\n%s", expression,
		value[string](t, tb, `location.href + '\n' + document.body.innerText`))
}

// sees waits until a text is shown within a selector.
func (tb *tab) sees(t *testing.T, selector, text string) {
	t.Helper()
	tb.holds(t, fmt.Sprintf("shown(%q, %q)", text, selector))
}

// presses presses the button or link with a name.
func (tb *tab) presses(t *testing.T, name string) {
	t.Helper()
	tb.holds(t, fmt.Sprintf("press(%q)", name))
}

func (tb *tab) enters(t *testing.T, selector, text string) {
	t.Helper()
	tb.holds(t, "$("+quote(selector)+")")
	tb.eval(t, "enter("+quote(selector)+", "+quote(text)+")")
}

func quote(text string) string {
	literal, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(literal)
}

// texts returns what a person sees of each element.
func (tb *tab) texts(t *testing.T, selector string) []string {
	t.Helper()
	return value[[]string](t, tb, fmt.Sprintf("$$(%q).map(element => element.innerText.trim())",
		selector))
}

// isLive waits until the console is connected.
func (tb *tab) isLive(t *testing.T) {
	t.Helper()
	tb.holds(t, `$('.connection').dataset.state === 'live'`)
}

// mint returns a token of a site with keys.
func (s *site) mint(t *testing.T, grant auth.Grant) string {
	t.Helper()
	grant.Expires = time.Now().Add(time.Hour)
	token, err := auth.Mint(s.key, grant, auth.MintOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func filter(patterns ...string) store.Filter {
	f, err := store.NewFilter(patterns...)
	if err != nil {
		panic(err)
	}
	return f
}

// bash runs a command as a person with a token would.
func (s *site) bash(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), e2e.Need(t, "bash"), "-c", command)
	cmd.Env = e2e.Environ()
	if s.key != nil {
		cmd.Env = append(cmd.Env, "TIDINGS_TOKEN="+s.token(time.Hour, ">"))
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, stderr.String(), command)
	}
	return string(out)
}

// post publishes an event of a type and returns its ID.
func (s *site) post(t *testing.T, topic, kind, contentType, body string) string {
	t.Helper()
	var answer struct{ ID string }
	path := "/v1/topics/" + topic + "/events"
	if kind != "" {
		path += "?type=" + kind
	}
	s.ask(t, http.MethodPost, path, contentType, body, &answer)
	return answer.ID
}

// event returns an event as the server has it, as raw texts.
func (s *site) event(t *testing.T, id string) map[string]json.RawMessage {
	t.Helper()
	var event map[string]json.RawMessage
	s.ask(t, http.MethodGet, "/v1/events/"+id, "", "", &event)
	return event
}

// ids returns the IDs of the log's events, oldest first.
func (s *site) ids(t *testing.T) (ids []string) {
	t.Helper()
	for _, event := range s.log(t, "") {
		ids = append(ids, event["id"].(string))
	}
	return ids
}
