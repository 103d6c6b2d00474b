package api_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// exchange sends text as it is on a new connection and returns all responses. It ends when the server closes; a
// request that does not ask for that hangs until the deadline fails the test.
func (s *server) exchange(text string) string {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close()
	// the server may answer and close before everything is sent
	go func() { _, _ = io.WriteString(conn, text) }()
	got, err := io.ReadAll(conn)
	if err != nil && len(got) == 0 {
		s.t.Fatal(err)
	}
	return string(got)
}

func (s *server) connect() *net.TCPConn {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// parse reads one response.
func parse(t testing.TB, text string) answer {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	body, _ := io.ReadAll(resp.Body) // if the connection was closed early, that is the server's business
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// TestHost: only a token in the header makes up for a foreign Host.
func TestHost(t *testing.T) {
	o := api.Options{AllowHosts: []string{"Events.Example.com", "other.example:8443"}}
	open := newServer(t, newLog(t), 0, o)
	guarded := newServer(t, newLog(t), 0, keyed(t, o))
	auth, cookie := bearer(everything(t))+"\r\n", "Cookie: tidings_token="+everything(t)+"\r\n"
	for _, c := range []struct {
		name        string
		s           *server
		request     string // the relevant part of the request line and headers
		wantRefused bool
	}{
		{"localhost", open, "GET /v1/log HTTP/1.1\r\nHost: localhost:8080\r\n", false},
		{"localhost, in capitals, with the dot of DNS", open,
			"GET /v1/log HTTP/1.1\r\nHost: LOCALHOST.\r\n", false},
		{"a name below localhost", open,
			"GET /v1/log HTTP/1.1\r\nHost: tidings.localhost\r\n", false},
		{"loopback", open, "GET /v1/log HTTP/1.1\r\nHost: 127.0.0.1\r\n", false},
		{"another loopback", open, "GET /v1/log HTTP/1.1\r\nHost: 127.8.8.8:1\r\n", false},
		{"loopback, version 6", open, "GET /v1/log HTTP/1.1\r\nHost: [::1]:8080\r\n", false},
		{"allowed", open, "GET /v1/log HTTP/1.1\r\nHost: events.example.com:8080\r\n", false},
		{"allowed by a name with a port",
			open, "GET /v1/log HTTP/1.1\r\nHost: other.example\r\n", false},
		{"row 2: rebound", open, "GET /v1/log HTTP/1.1\r\nHost: evil.example:8080\r\n", true},
		{"a name that ends like an allowed one",
			open, "GET /v1/log HTTP/1.1\r\nHost: evilevents.example.com\r\n", true},
		{"a name that begins like localhost", open,
			"GET /v1/log HTTP/1.1\r\nHost: localhost.evil.example\r\n", true},
		{"an address that is not the listener's",
			open, "GET /v1/log HTTP/1.1\r\nHost: 192.0.2.1\r\n", true},
		{"empty", open, "GET /v1/log HTTP/1.1\r\nHost:\r\n", true},
		{"row 3: HTTP/1.0 without Host", open, "GET /v1/log HTTP/1.0\r\n", true},
		{"row 4: absolute form", open,
			"POST http://evil.example/v1/topics/a/events HTTP/1.1\r\nHost: localhost\r\n", true},
		{"a stream", open, "GET /v1/stream HTTP/1.1\r\nHost: evil.example\r\n", true},
		{"no path of ours", open, "GET /nothing HTTP/1.1\r\nHost: evil.example\r\n", true},
		{"a method that the path has not", open,
			"PATCH /v1/log HTTP/1.1\r\nHost: evil.example\r\n", true},
		{"any token will do for a server without keys, so none does", open,
			"GET /v1/log HTTP/1.1\r\nHost: evil.example\r\n" + auth, true},
		{"health", open, "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n", false},
		{"readiness", open, "GET /readyz HTTP/1.0\r\n", false},
		{"a token in the header", guarded,
			"GET /v1/log HTTP/1.1\r\nHost: evil.example\r\n" + auth, false},
		{"a token in the cookie", guarded,
			"GET /v1/log HTTP/1.1\r\nHost: evil.example\r\n" + cookie, true},
		{"a token in the cookie of localhost", guarded,
			"GET /v1/log HTTP/1.1\r\nHost: localhost\r\n" + cookie, false},
		{"a token in the query", guarded, "GET /v1/stream?access_token=" + everything(t) +
			" HTTP/1.1\r\nHost: evil.example\r\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := parse(t, c.s.exchange(c.request+"Connection: close\r\n\r\n"))
			if !c.wantRefused {
				if a.status != 200 {
					t.Errorf("%d %s, want 200", a.status, a.body)
				}
				return
			}
			if p := a.problem(t); a.status != 421 || p.Code != "host-not-allowed" ||
				!strings.Contains(p.Detail, "--allow-host") {
				t.Errorf("%d %s, want 421 host-not-allowed", a.status, a.body)
			}
		})
	}
	if head := open.log.Head(); !head.IsZero() {
		t.Errorf("something was stored: %v", head)
	}
}

// TestOrigin: a page of another site cannot write, neither to a server that is open to everyone on its machine nor
// with its visitor's cookie.
func TestOrigin(t *testing.T) {
	o := api.Options{CORSOrigins: []string{"https://app.example.com"}}
	open := newServer(t, newLog(t), 0, o)
	guarded := newServer(t, newLog(t), 0, keyed(t, o))
	auth, cookie := bearer(everything(t)), "Cookie: tidings_token="+everything(t)
	own := "Origin: " + open.url
	for _, c := range []struct {
		name    string
		s       *server
		headers []string
		want    int
	}{
		{"no browser", open, nil, 201},
		{"own page", open, headers(own), 201},
		{"own page, newer browser", open, headers(own, "Sec-Fetch-Site: same-origin"), 201},
		{"listed page", open, headers("Origin: https://app.example.com",
			"Sec-Fetch-Site: cross-site"), 201},
		{"foreign page", open, headers("Origin: https://evil.example"), 403},
		{"foreign page, newer browser", open,
			headers("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"), 403},
		{"foreign page that hides its origin", open, headers("Origin: null"), 403},
		{"page on another port of localhost", open,
			headers("Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"), 403},
		{"listed page by another scheme", open, headers("Origin: http://app.example.com"), 403},
		{"foreign page with a header that opens nothing here", open,
			headers("Origin: https://evil.example", auth), 403},
		{"foreign page with a token", guarded, headers("Origin: https://evil.example", auth), 201},
		{"foreign page with its visitor's cookie", guarded,
			headers("Origin: https://evil.example", cookie), 403},
		{"own page with its visitor's cookie", guarded,
			headers("Origin: "+guarded.url, cookie), 201},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.s.log.Head()
			// What a form can send: without a preflight.
			a := c.s.do("POST", "/v1/topics/a/events",
				"1", append(c.headers, "Content-Type: text/plain")...)
			if a.status != c.want {
				t.Fatalf("%d %s, want %d", a.status, a.body, c.want)
			}
			if c.want == 201 {
				return
			}
			if p := a.problem(t); p.Code != "origin-forbidden" || p.Outcome != "not_stored" ||
				!strings.Contains(p.Detail, "--cors-origin") {
				t.Errorf("%s, want origin-forbidden", a.body)
			}
			if c.s.log.Head() != before {
				t.Error("something was stored")
			}
		})
	}
	for _, method := range list("PUT DELETE") {
		if a := open.do(method, "/v1/session", "",
			"Origin: https://evil.example"); a.status != 403 {
			t.Errorf("%s /v1/session: %d, want 403", method, a.status)
		}
	}
}

// TestCORS: pages of listed origins may call and read, others get nothing that lets them.
func TestCORS(t *testing.T) {
	const listed = "https://app.example.com"
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{CORSOrigins: []string{listed}}))
	none := newServer(t, newLog(t), 0, api.Options{})
	const method, asked = "Access-Control-Request-Method: ", "Access-Control-Request-Headers: "
	for _, c := range []struct {
		name    string
		s       *server
		headers []string
		want    bool
	}{
		{"listed", s, headers("Origin: "+listed, method+"POST"), true},
		{"all headers", s, headers("Origin: "+listed, method+"POST",
			asked+
				"authorization,ce-id,ce-topic,content-type,event-type,idempotency-key,last-event-id"),
			true},
		{"headers of libraries", s, headers("Origin: "+listed, method+"POST",
			asked+"authorization,cache-control,sentry-trace,traceparent,x-other"), true},
		{"headers, not listed", s, headers("Origin: https://evil.example", method+"POST",
			asked+"traceparent"), false},
		{"delete", s, headers("Origin: "+listed, method+"DELETE"), true},
		{"patch", s, headers("Origin: "+listed, method+"PATCH"), false},
		{"row 23: not listed", s, headers("Origin: https://evil.example", method+"GET"), false},
		{"null", s, headers("Origin: null", method+"GET"), false},
		{"ends like a listed one", s, headers("Origin: https://evilapp.example.com",
			method+"GET"), false},
		{"none is listed", none, headers("Origin: "+listed, method+"GET"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := c.s.do("OPTIONS", "/v1/topics/a/events", "", c.headers...)
			if a.status != 204 {
				t.Fatalf("%d %s, want 204", a.status, a.body)
			}
			origin, credentials := a.header.Get("Access-Control-Allow-Origin"),
				a.header.Get("Access-Control-Allow-Credentials")
			if c.want && (origin != listed || credentials != "true") || !c.want &&
				origin+credentials != "" {
				t.Errorf("%v, want allowed: %v", a.header, c.want)
			}
		})
	}
	t.Run("answers", func(t *testing.T) {
		token := bearer(everything(t))
		for path, origins := range map[string]map[string]string{
			"/v1/log":    {listed: listed, "https://evil.example": "", "null": ""},
			"/v1/stream": {listed: listed, "https://evil.example": ""},
			"/nothing":   {listed: listed},
		} {
			for origin, want := range origins {
				a := s.head("GET", path, "", "Origin: "+origin, token)
				if got := a.header.Get("Access-Control-Allow-Origin"); got != want {
					t.Errorf("%s for %s: allows %q, want %q", path, origin, got, want)
				}
				if !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin") {
					t.Errorf("%s: Vary %q", path, a.header.Values("Vary"))
				}
			}
		}
	})
	t.Run("headers can be read", func(t *testing.T) {
		token := bearer(everything(t))
		after := "/v1/events?after=" + appendData(t, s.log, "a", []byte("1")).String()
		for _, a := range []answer{
			s.do("GET", after, "", "Origin: "+listed, token, "Accept: application/x-ndjson"),
			s.do("GET", "/v1/events?last=1", "", "Origin: "+listed, token,
				"Accept: application/x-ndjson"),
			s.do("GET", "/v1/backup", "", "Origin: "+listed, token),
			s.do("POST", "/v1/topics/a/events", "1", "Origin: "+listed, token),
		} {
			exposed := strings.Split(a.header.Get("Access-Control-Expose-Headers"), ", ")
			for _, name := range list("Location Retry-After Idempotency-Replayed Tidings-Next Tidings-Prev Tidings-Caught-Up Tidings-Gap Tidings-Who Tidings-Manifest Ratelimit Ratelimit-Policy") {
				if !slices.Contains(exposed, name) {
					t.Errorf("%s is not exposed, only %q", name, exposed)
				}
			}
			for name := range a.header { // even those that this list does not know
				if ours := name == "Location" || strings.HasPrefix(name, "Tidings-"); ours &&
					!slices.Contains(exposed, name) {
					t.Errorf("%s is not exposed, only %q", name, exposed)
				}
			}
		}
	})
	t.Run("refusals can be read", func(t *testing.T) {
		if a := s.do("GET", "/v1/log", "", "Origin: "+listed); a.status != 401 ||
			a.header.Get("Access-Control-Allow-Origin") != listed {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
}

// TestSecurityHeaders are on every response of ours.
func TestSecurityHeaders(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	token := bearer(everything(t))
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/log"}, {"GET", "/v1/stream"}, {"HEAD", "/v1/stream"},
		{"POST", "/v1/topics/a/events"}, {"POST", "/v1/topics/a..b/events"},
		{"GET", "/nothing"}, {"PATCH", "/v1/log"}, {"OPTIONS", "/v1/log"}, {"GET", "/healthz"},
		{"PUT", "/v1/session"},
	} {
		h := s.head(c.method, c.path, "1", token).header
		if h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "no-referrer" ||
			!strings.HasPrefix(h.Get("Cache-Control"), "no-store") {
			t.Errorf("%s %s: %v", c.method, c.path, h)
		}
		if vary := strings.Join(h.Values("Vary"), ","); !strings.Contains(vary, "Authorization") ||
			!strings.Contains(vary, "Accept") || !strings.HasPrefix(vary, "*,") {
			t.Errorf("%s %s: Vary %q", c.method, c.path, vary)
		}
	}
	h := s.head("GET", "/tidings.js", "").header // may be cached
	if vary := strings.Join(h.Values("Vary"), ","); !strings.Contains(vary, "Origin") ||
		strings.Contains(vary, "*") {
		t.Errorf("GET /tidings.js: Vary %q", vary)
	}
}

// TestOptionsStar: a request about the server, not a path, is not found.
func TestOptionsStar(t *testing.T) {
	if a := parse(t, start(t).exchange(
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")); a.status != 404 {
		t.Errorf("%d %s, want 404", a.status, a.body)
	}
}
