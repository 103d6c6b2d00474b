package api_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// TestSession: only the browser has the cookie, which lives as long as its token, and stays with TLS if the client
// has TLS.
func TestSession(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	plain := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	proxied := newServer(t, newLog(t), 0, keyed(t, api.Options{TrustedProxies: loopback}))
	const https = "X-Forwarded-Proto: https"
	for _, c := range []struct {
		name   string
		s      *server
		header string
		cookie string
		secure bool
	}{
		{"plain", plain, "", "tidings_token", false},
		{"plain, whatever a client says", plain, https, "tidings_token", false},
		{"plain up to a proxy", proxied, "X-Forwarded-Proto: http", "tidings_token", false},
		{"TLS up to a proxy", proxied, https, "__Host-tidings_token", true},
		{"TLS up to the first of two proxies", proxied, "X-Forwarded-Proto: HTTPS, http",
			"__Host-tidings_token", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := everything(t)
			forwarded := headers(c.header)
			if c.header == "" {
				forwarded = nil
			}
			set := cookieOf(t, c.s.do("PUT", "/v1/session", "",
				append(forwarded, bearer(token))...))
			if set.Name != c.cookie || set.Value != token || set.Secure != c.secure {
				t.Errorf("set %v, want %s, secure: %v", set, c.cookie, c.secure)
			}
			if left := time.Until(set.Expires); left < 59*time.Minute || left > time.Hour {
				t.Errorf("expires in %v, want what is left of the token's hour", left)
			}
			use := headers(append(forwarded, "Cookie: "+c.cookie+"="+token)...)
			if a := c.s.do("GET", "/v1/log", "", use...); a.status != 200 {
				t.Errorf("with the cookie: %d %s", a.status, a.body)
			}
			gone := cookieOf(t, c.s.do("DELETE", "/v1/session", "", use...))
			if gone.Name != c.cookie || gone.Value != "" || gone.MaxAge >= 0 ||
				gone.Secure != c.secure {
				t.Errorf("deleted by %v", gone)
			}
		})
	}
	t.Run("the cookie of plain HTTP is none for TLS", func(t *testing.T) {
		if a := proxied.do("GET", "/v1/log", "",
			https, "Cookie: tidings_token="+everything(t)); a.status != 401 {
			t.Errorf("%d, want 401", a.status)
		}
	})
	t.Run("the cookie does not renew itself", func(t *testing.T) {
		a := plain.do("PUT", "/v1/session", "", "Cookie: tidings_token="+everything(t))
		if p := a.problem(t); a.status != 401 || p.Code != "token-missing" {
			t.Errorf("%d %s, want 401 token-missing", a.status, a.body)
		}
	})
	t.Run("a parameter", func(t *testing.T) {
		for _, method := range list("PUT DELETE") {
			if a := plain.do(method, "/v1/session?x=1",
				"", bearer(everything(t))); a.problem(t).Code != "query-invalid" {
				t.Errorf("%s: %d %s", method, a.status, a.body)
			}
		}
	})
	t.Run("too long for a browser", func(t *testing.T) {
		const room = 4096 - len("tidings_token")
		for length, want := range map[int]int{room: 204, room + 1: 422} {
			a := plain.do("PUT", "/v1/session", "", bearer(tokenOf(t, length)))
			if a.status != want || want == 422 && a.problem(t).Code != "token-too-long" {
				t.Errorf("token of %d bytes: %d %s, want %d", length, a.status, a.body, want)
			}
		}
	})
	t.Run("without keys", func(t *testing.T) {
		if a := start(t).do("PUT", "/v1/session", "", bearer("whatever")); a.status != 204 ||
			a.header.Get("Set-Cookie") != "" {
			t.Errorf("%d %v, want 204 and no cookie", a.status, a.header)
		}
	})
}

// TestSessionByBody: behind a proxy that wants the header for a password, the token is in the body.
func TestSessionByBody(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	c := newContract(t, s)
	token := everything(t)
	const basic, site = "Authorization: Basic dTpw", "Sec-Fetch-Site: "
	object := `{"token":"` + token + `"}`
	for _, row := range []struct {
		name, body string
		headers    []string
		status     int
		code       string
	}{
		{"the token", object, nil, 204, ""},
		{"a proxy's password", object, headers(basic, site+"same-origin"), 204, ""},
		{"a cookie that does not count", object, headers(basic, "Cookie: tidings_token=x"), 204, ""},
		{"a page of another site", object, headers(basic, site+"cross-site"), 403, "origin-forbidden"},
		{"no token", "", headers(basic), 401, "token-missing"},
		{"no token, and a cookie", "", headers(basic, "Cookie: tidings_token="+token), 401,
			"token-missing"},
		{"a token that does not count", `{"token":"x.y.z"}`, nil, 401, "token-invalid"},
		{"an empty one", `{"token":""}`, nil, 400, "member-invalid"},
		{"another type", `{"token":1}`, nil, 400, "member-invalid"},
		{"another member", `{"token":"x","jwt":"y"}`, nil, 400, "member-invalid"},
		{"no object", `"` + token + `"`, nil, 400, "json-invalid"},
		{"no JSON", token, nil, 400, "json-invalid"},
		{"a form", "token=" + token, nil, 400, "json-invalid"},
		{"17 KiB", `{"token":"` + strings.Repeat("a", 17<<10) + `"}`, nil, 413, "body-too-large"},
	} {
		t.Run("row 236: "+row.name, func(t *testing.T) {
			a := s.do("PUT", "/v1/session", row.body, row.headers...)
			if c.response(t, "PUT", "/v1/session", a); row.status == 204 {
				if set := cookieOf(t, a); set.Value != token {
					t.Errorf("set %v", set)
				}
				return
			}
			if a.status != row.status || a.problem(t).Code != row.code ||
				a.header.Get("Set-Cookie") != "" || strings.Contains(a.body, token) {
				t.Errorf("%d %s, want %d %s", a.status, a.body, row.status, row.code)
			}
		})
	}
}

// cookieOf returns the one cookie that a response sets, after checking what all have in common.
func cookieOf(t *testing.T, a answer) *http.Cookie {
	t.Helper()
	cookies := (&http.Response{Header: a.header}).Cookies()
	if a.status != 204 || len(cookies) != 1 {
		t.Fatalf("%d, cookies %v, want 204 and one cookie", a.status, cookies)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %v, want HttpOnly, SameSite=Strict, Path=/ and no Domain", c)
	}
	return c
}

// tokenOf returns a valid token of this length: claims longer by one byte make it longer by one or two.
func tokenOf(t *testing.T, length int) string {
	t.Helper()
	for _, name := range list("a ab abc") {
		base := len(signed(t, `{"exp":4102444800,"`+name+`":""}`))
		fill := (length-base)/4*3 + 6
		for ; fill > 0; fill-- {
			token := signed(t, `{"exp":4102444800,"`+name+`":"`+strings.Repeat("x", fill)+`"}`)
			if len(token) == length {
				return token
			}
			if len(token) < length {
				break
			}
		}
	}
	t.Fatalf("no token has %d bytes", length)
	return ""
}

// TestSessionGrant: a page learns what it may do, without an error if it may not do anything yet.
func TestSessionGrant(t *testing.T) {
	guarded := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	token := holder{subject: "ada", publish: "orders.>", subscribe: "orders.> users.7",
		admin: true}.token(t)
	expired := holder{subscribe: ">", expires: -time.Hour}.token(t)
	const none = `{"keys":true,"grant":null}`
	for _, c := range []struct {
		name   string
		s      *server
		header string
		want   string
	}{
		{"no keys", newServer(t, newLog(t), 0, api.Options{}), "X: y",
			`{"keys":false,"grant":{"subject":"","publish":[">"],"subscribe":[">"],"answer":[">"],"admin":true,"expires":null}}`},
		{"no token", guarded, "X: y", none},
		{"an expired token", guarded, bearer(expired), none},
		{"no token at all", guarded, "Cookie: tidings_token=x", none},
		{"a token", guarded, bearer(token),
			`{"keys":true,"grant":{"subject":"ada","publish":["orders.>"],"subscribe":["orders.>","users.7"],"answer":[],"admin":true,"expires":"`},
		{"an administrator's", guarded, bearer(holder{admin: true}.token(t)),
			`{"keys":true,"grant":{"subject":"","publish":[],"subscribe":[],"answer":[],"admin":true,"expires":"`},
		{"a cookie", guarded, "Cookie: tidings_token=" + token,
			`{"keys":true,"grant":{"subject":"ada",`},
	} {
		if a := c.s.do("GET", "/v1/session", "", c.header); a.status != 200 ||
			!strings.HasPrefix(a.body, c.want) {
			t.Errorf("%s: %d %s, want 200 %s", c.name, a.status, a.body, c.want)
		}
	}
}
