package examples_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"tidings/internal/e2e"
)

// TestAnswer: a page that is reloaded in the middle of an answer has it from the first word on, each word once, and
// when the answer is complete nobody reconnects.
func TestAnswer(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	r := newRelay(t, s.url())
	app := startProgram(t, "answer", []string{"TIDINGS_URL=" + r.URL})
	s.start(t, nil, "--cors-origin", app)

	resume := r.holdBack(t, "word-to-hold")
	tb := newProfile(t).open(t, app+"/")
	tb.do(t, chromedp.SetValue("input", "<i>a</i> word-to-hold"), chromedp.Click("button"))
	tb.await(t, textOf("answer"), "You asked: <i>a</i> ")
	tb.do(t, chromedp.Reload())
	tb.await(t, textOf("answer"), "You asked: <i>a</i> ")
	tb.await(t, textOf("state"), "live")
	resume()
	const all = "You asked: <i>a</i> word-to-hold. Here is what I know of it, one word after the other."
	tb.await(t, textOf("answer"), all)
	tb.await(t, textOf("state"), "ended")
	if got := r.statuses(); got[len(got)-1] != http.StatusNoContent {
		t.Errorf("the page's streams were answered %d, want 204 in the end", got)
	}
	// the server notices the end of the first load's stream a moment later
	e2e.Eventually(t, "end of all streams", func() bool {
		_, got := send(t, http.MethodGet, s.url()+"/v1/subscribers", nil, "")
		return strings.Contains(string(got), `"subscribers":[]`)
	})

	tb.do(t, chromedp.Reload()) // an answer can be read again
	tb.await(t, textOf("answer"), all)
}

// relay is a proxy in front of the server that records the status of each stream, and can hold publishes back.
type relay struct {
	*httptest.Server

	mu      sync.Mutex
	streams []int // the statuses
	held    string
	resumed chan struct{}
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(resp *http.Response) error {
			if strings.HasPrefix(resp.Request.URL.Path, "/v1/stream") {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.streams = append(r.streams, resp.StatusCode)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0), // errors of pages that went away
	}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			body, _ := io.ReadAll(req.Body) // an incomplete body is not JSON
			r.wait(string(body))
			req.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

// holdBack holds back publishes whose data contain text, until resume.
func (r *relay) holdBack(t *testing.T, text string) (resume func()) {
	resumed := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.resumed = text, resumed
	resume = sync.OnceFunc(func() { close(resumed) })
	t.Cleanup(resume)
	return resume
}

func (r *relay) wait(body string) {
	r.mu.Lock()
	held, resumed := r.held, r.resumed
	r.mu.Unlock()
	if held != "" && strings.Contains(body, held) {
		<-resumed
	}
}

func (r *relay) statuses() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.streams)
}
