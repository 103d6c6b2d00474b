package api_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tidings/api"
)

// endpoints returns the methods and paths of the server, with a value for each variable.
func endpoints(s *server) (all [][2]string) {
	for _, e := range s.api.Endpoints() {
		method, path, _ := strings.Cut(e, " ")
		path = strings.NewReplacer("{topic}", "a", "{id}", "01K5ZM00000000000000000000", "{name}", "n",
			"{file}", "main.js").Replace(path)
		all = append(all, [2]string{method, path})
	}
	return append(all, [2]string{"GET", "/nothing"}, [2]string{"PATCH", "/v1/log"})
}

// TestForwardedWithoutKey: row 182 of docs/ERRORS.md, for every endpoint, with HTTP/1.1 and HTTP/2.
func TestForwardedWithoutKey(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{})
	http2 := h2c(t)
	for _, header := range []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: example.com",
		"x-forwarded-proto: https", "X-Forwarded-Prefix: /t", "X-Forwarded-For: ",
		"Forwarded: for=203.0.113.9", "Via: 1.1 vegur", "X-Real-IP: 203.0.113.9",
		"CF-Connecting-IP: 203.0.113.9", "CF-Ray: 1", "CDN-Loop: cloudflare", "True-Client-IP: 1",
		"X-Original-Forwarded-For: 1", "X-Envoy-External-Address: 1", "Fly-Client-IP: 1",
		"X-Amzn-Trace-Id: Root=1", "Fastly-Client-IP: 1", "Tailscale-User-Login: ann",
		"X-Client-IP: 1", "X-Cluster-Client-IP: 1"} {
		t.Run("row 182: "+header, func(t *testing.T) {
			for _, e := range endpoints(s) {
				name, value, _ := strings.Cut(header, ": ")
				r, err := http.NewRequest(e[0], s.url+e[1], nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set(name, value)
				r.Header.Set("Authorization", bearer(everything(t))) // there is no key: it proves nothing
				for _, transport := range []http.RoundTripper{http.DefaultTransport, http2} {
					resp, err := transport.RoundTrip(r)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || resp.StatusCode != 421 || e[0] != "HEAD" &&
						(!strings.Contains(string(body), `"code":"proxy-not-allowed"`) ||
							!strings.Contains(string(body), "--insecure")) {
						t.Errorf("%s %s %s: %d %s %v", resp.Proto, e[0], e[1], resp.StatusCode, body, err)
					}
				}
			}
		})
	}
	if head := s.log.Head(); !head.IsZero() {
		t.Errorf("something was stored: %v", head)
	}
	t.Run("row 182: with a key, or on purpose", func(t *testing.T) {
		const forwarded = "X-Forwarded-For: 203.0.113.9"
		guarded := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
		if a := guarded.do("GET", "/v1/log", "", forwarded, bearer(everything(t))); a.status != 200 {
			t.Errorf("with a key: %d %s", a.status, a.body)
		}
		meant := newServer(t, newLog(t), 0, api.Options{AllowForwarded: true})
		if a := meant.do("GET", "/v1/log", "", forwarded); a.status != 200 {
			t.Errorf("allowed: %d %s", a.status, a.body)
		}
		for _, header := range []string{"X-Request-Id: 1", "Traceparent: 1", "Referer: http://x/",
			"X-Requested-With: XMLHttpRequest"} {
			if a := s.do("GET", "/v1/log", "", header); a.status != 200 {
				t.Errorf("%s: %d %s", header, a.status, a.body)
			}
		}
	})
}

// TestForeignReads: row 183 of docs/ERRORS.md. Open endpoints are for pages of other origins too, such as the
// client's script.
func TestForeignReads(t *testing.T) {
	const listed = "Origin: https://app.example.com"
	o := api.Options{CORSOrigins: []string{"https://app.example.com"}}
	open := newServer(t, newLog(t), 0, o)
	guarded := newServer(t, newLog(t), 0, keyed(t, o))
	admin := holder{admin: true}.token(t)
	unguarded := []string{"/", "/healthz", "/readyz", "/openapi.yaml", "/tidings.js", "/locks.js", "/tidings.d.ts",
		"/alarm.js", "/alarm.d.ts", "/presence.js", "/presence.d.ts", "/push.js", "/push.d.ts",
		"/sw.js", "/v1/session", "/nothing", "/console/main.js"}
	foreign := [][]string{{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"},
		{"Origin: https://evil.example"}, {"Origin: null"},
		{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
		{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example", bearer(admin)}}
	for _, e := range endpoints(open) {
		if e[0] != "GET" && e[0] != "HEAD" {
			continue
		}
		t.Run("row 183: "+e[0]+" "+e[1], func(t *testing.T) {
			for _, h := range foreign {
				if a := open.head(e[0], e[1], "", h...); (a.status == 403) ==
					slices.Contains(unguarded, e[1]) {
					t.Errorf("%s: %d", h, a.status)
				}
			}
			for _, h := range [][]string{nil, {"Sec-Fetch-Site: none"}, {"Sec-Fetch-Site: same-origin"},
				{listed, "Sec-Fetch-Site: cross-site"}, {"Origin: " + open.url}} {
				if a := open.head(e[0], e[1], "", h...); a.status == 403 {
					t.Errorf("%s: %d", h, a.status)
				}
			}
		})
	}
	t.Run("row 183: by an admin's cookie", func(t *testing.T) {
		cookie := "Cookie: tidings_token=" + admin
		for _, path := range []string{"/v1/backup", "/v1/subscribers"} {
			a := guarded.do("GET", path, "", cookie, "Sec-Fetch-Site: same-site")
			if a.status != 403 || a.problem(t).Code != "origin-forbidden" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
			for _, h := range [][]string{{cookie, "Sec-Fetch-Site: same-origin"}, {cookie},
				{bearer(admin), "Sec-Fetch-Site: cross-site"}} {
				if a := guarded.do("GET", path, "", h...); a.status != 200 {
					t.Errorf("%s, %.40s: %d", path, h, a.status)
				}
			}
		}
	})
}

// TestBasicProvesNothing: browsers send a proxy's password by themselves, so it makes up neither for a foreign Host
// nor for a foreign page.
func TestBasicProvesNothing(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	basic, cookie := "Authorization: Basic dTpw", "Cookie: tidings_token="+everything(t)
	a := s.do("POST", "/v1/topics/a/events", "1", basic, cookie, "Origin: https://evil.example")
	if a.status != 403 || a.problem(t).Code != "origin-forbidden" {
		t.Errorf("foreign page: %d %s", a.status, a.body)
	}
	a = parse(t, s.exchange("GET /v1/log HTTP/1.1\r\nHost: evil.example\r\n"+basic+"\r\n"+cookie+
		"\r\nConnection: close\r\n\r\n"))
	if a.status != 421 {
		t.Errorf("foreign name: %d %s", a.status, a.body)
	}
	a = s.do("PUT", "/v1/session", "", basic, cookie)
	if a.status != 401 || !strings.Contains(a.body, "in the Authorization header") {
		t.Errorf("session: %d %s", a.status, a.body)
	}
	if !s.log.Head().IsZero() {
		t.Error("something was stored")
	}
}

// TestCookieName: browsers do not tell ports and paths apart, so servers on one host each need a name.
func TestCookieName(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{CookieName: "tidings_8081"}))
	token := everything(t)
	set := cookieOf(t, s.do("PUT", "/v1/session", "", bearer(token)))
	if set.Name != "tidings_8081" || set.Value != token {
		t.Errorf("set %v", set)
	}
	for cookies, want := range map[string]int{
		"tidings_8081=" + token:                              200,
		"tidings_token=x; tidings_8081=" + token:             200,
		"tidings_token=" + token:                             401,
		"tidings_token=" + token + "; tidings_8081=":         401,
		"__Host-tidings_8081=" + token + "; tidings_token=x": 401,
	} {
		if a := s.do("GET", "/v1/log", "", "Cookie: "+cookies); a.status != want {
			t.Errorf("%.30s: %d, want %d", cookies, a.status, want)
		}
	}
}
