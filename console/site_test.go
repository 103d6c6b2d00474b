package console_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
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
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/console"
	"tidings/internal/auth"
	"tidings/internal/e2e"
	"tidings/store"
)

// fault is a failure between the browser and the server.
type fault int

const (
	none       fault = iota
	cut              // connections break, new ones too
	badGateway       // a proxy's answer if the server does not respond
	buffering        // nothing that the server streams arrives
	swallowed        // requests arrive nowhere; responses in progress continue
)

// site is a server behind a proxy, which also serves the test pages: one origin, whatever happens behind it.
type site struct {
	URL      string
	requests record[request] // made by browsers

	server  *e2e.Server
	options e2e.Options
	client  *http.Client
	key     []byte // signs the server's tokens; nil: it accepts everyone

	mu       sync.Mutex
	upstream *url.URL
	fault    fault
	line     context.Context // of the requests in flight
	hangUp   func()
	tokens   []string // that /test/token returns before others
}

// request is a request for a stream or a page.
type request struct {
	Path, LastEventID, Authorization string
	Query                            url.Values
	Open                             string // what logs and others may see: the address and the referrer
}

func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	s := &site{client: e2e.NewHTTPClient(),
		options: e2e.Options{Binary: binary, DataDir: t.TempDir(), Args: args}}
	s.line, s.hangUp = context.WithCancel(context.Background())
	t.Cleanup(s.client.CloseIdleConnections)
	s.start(t)
	proxy := httptest.NewServer(s)
	s.URL = proxy.URL
	t.Cleanup(func() {
		s.set(cut)
		proxy.Close()
	})
	return s
}

// newGuardedSite returns a site that requires a token.
func newGuardedSite(t *testing.T, args ...string) *site {
	t.Helper()
	key := rand.Text() + rand.Text()
	s := newSite(t, append(args, "--jwt-key", key)...)
	s.key = []byte(key)
	return s
}

// start starts the server, also after a Kill or with another log.
func (s *site) start(t *testing.T) {
	t.Helper()
	s.server = e2e.Start(t, s.options)
	upstream, err := url.Parse(s.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upstream = upstream
}

// set causes a fault, for the requests in flight, too.
func (s *site) set(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
	s.hangUp()
	s.line, s.hangUp = context.WithCancel(context.Background())
}

// swallow makes requests arrive nowhere from now on. An existing stream continues: only the way to the server is gone.
func (s *site) swallow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = swallowed
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	upstream, fault, line := s.upstream, s.fault, s.line
	s.mu.Unlock()
	if r.Header.Get("Origin") == "null" { // of the sandbox
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "Last-Event-ID")
		if r.Method == http.MethodOptions {
			return
		}
	}
	if file, ok := strings.CutPrefix(r.URL.Path, "/test/"); ok {
		s.serveTest(w, r, file)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		if r.Method != http.MethodOptions { // which a browser sends by itself
			s.requests.add(request{r.URL.Path, r.Header.Get("Last-Event-ID"), r.Header.Get("Authorization"),
				r.URL.Query(), r.RequestURI + " from " + r.Referer()})
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(line, cancel)()
	switch {
	case fault == cut:
		panic(http.ErrAbortHandler)
	case fault == badGateway:
		w.WriteHeader(http.StatusBadGateway)
		return
	case fault == swallowed, fault == buffering && strings.HasSuffix(r.URL.Path, "/stream"):
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Host = r.In.Host
			if r.In.Header.Get("Origin") == "null" { // otherwise the server refuses it, without a key
				r.Out.Header.Del("Origin")
				r.Out.Header.Del("Sec-Fetch-Site")
			}
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
		ErrorLog:  log.New(io.Discard, "", 0), // broken connections are what the tests are about
		Transport: s.client.Transport,
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

// serveTest serves what belongs to the tests: the page, under the console's policy, what it loads, and tokens.
func (s *site) serveTest(w http.ResponseWriter, r *http.Request, file string) {
	w.Header().Set("Cache-Control", "no-cache")
	switch file {
	case "", "sandbox", "open":
		policy := console.Policy
		switch file {
		case "sandbox": // a page without an origin: it has neither storage nor locks
			policy = strings.ReplaceAll(policy, "'self'",
				"http://"+r.Host) + "; sandbox allow-scripts"
		case "open": // for other servers
			policy = strings.ReplaceAll(policy, "connect-src 'self'", "connect-src *")
		}
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w,
			`<!doctype html><title>A client</title><link rel="icon" href="data:,"><script type="module" src="/test/page.js"></script>`)
	case "plain": // without a policy, or a client
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>A page</title><link rel="icon" href="data:,">`)
	case "token":
		fmt.Fprint(w, s.nextToken())
	default:
		http.ServeFile(w, r, "testdata/"+file)
	}
}

func (s *site) nextToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tokens) == 0 {
		return s.token(time.Hour, ">")
	}
	token := s.tokens[0]
	s.tokens = s.tokens[1:]
	return token
}

// token returns a token to subscribe to what matches a pattern.
func (s *site) token(lifetime time.Duration, pattern string) string {
	filter, err := store.NewFilter(pattern)
	if err != nil {
		panic(err)
	}
	everything := auth.Everything()
	token, err := auth.Mint(s.key, auth.Grant{Subject: "test", Publish: everything.Publish,
		Subscribe: filter, Admin: true, Expires: time.Now().Add(lifetime)}, auth.MintOptions{})
	if err != nil {
		panic(err)
	}
	return token
}

// ask sends a request to the server, bypassing the proxy, decodes the response into v unless it is nil, and ends the
// test unless it is a success.
func (s *site) ask(t *testing.T, method, path, contentType, body string, v any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.server.URL()+path,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if s.key != nil {
		req.Header.Set("Authorization", "Bearer "+s.token(time.Hour, ">"))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	if err == nil && v != nil {
		err = json.Unmarshal(answer, v)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

// publish publishes n events of a topic in one commit and returns the ID of the last.
func (s *site) publish(t *testing.T, topic string, n int) string {
	t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"topic":%q,"data":{"n":%d}}`+"\n", topic, i)
	}
	var answer struct{ Events []struct{ ID string } }
	s.ask(t, http.MethodPost, "/v1/events", "application/x-ndjson", lines.String(), &answer)
	return answer.Events[n-1].ID
}

// log returns the server's events after an event, as in its pages.
func (s *site) log(t *testing.T, after string) (events []map[string]any) {
	t.Helper()
	if after == "" {
		after = strings.Repeat("0", 26)
	}
	for {
		var page struct {
			Events   []map[string]any
			Next     string
			CaughtUp bool `json:"caught_up"`
		}
		s.ask(t, http.MethodGet, "/v1/events?limit=1000&after="+after, "", "", &page)
		events = append(events, page.Events...)
		if after = page.Next; page.CaughtUp {
			return events
		}
	}
}

// check expects that each tab gets everything in the log after an event: once, in order. It publishes one more event,
// so that nothing can still be on its way.
func (s *site) check(t *testing.T, after string, tabs ...*tab) {
	t.Helper()
	last := s.publish(t, "orders", 1)
	want := s.log(t, after)
	for i, tb := range tabs {
		tb.reports.await(t, "last event", func(reports []report) bool {
			return slices.ContainsFunc(reports, func(r report) bool {
				return r.is("event", "id", last)
			})
		})
		if diff := cmp.Diff(want, tb.given("event", "end")); diff != "" {
			t.Errorf("tab %d is not given the log (-log +given):\n%.2000s", i, diff)
		}
	}
}

// streams returns the requests for a stream so far.
func (s *site) streams() []request { return streamsOf(s.requests.all()) }

func streamsOf(requests []request) []request {
	return slices.DeleteFunc(requests, func(r request) bool { return r.Path != "/v1/stream" })
}

// subscribers returns the server's streams.
func (s *site) subscribers(t *testing.T) []json.RawMessage {
	t.Helper()
	var answer struct{ Subscribers []json.RawMessage }
	s.ask(t, http.MethodGet, "/v1/subscribers", "", "", &answer)
	return answer.Subscribers
}

// awaitSubscribers waits until the server has n streams. The server notices only a moment later that one was closed.
func (s *site) awaitSubscribers(t *testing.T, n int) {
	t.Helper()
	var last []json.RawMessage
	defer func() {
		if len(last) != n {
			t.Logf("the subscribers are %s", last)
		}
	}()
	e2e.Eventually(t, fmt.Sprintf("set of %d subscribers", n), func() bool {
		last = s.subscribers(t)
		return len(last) == n
	})
}
