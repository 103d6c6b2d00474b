package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/auth"
	"tidings/internal/e2e"
	"tidings/store"
)

// Keys for these tests only.
const (
	testKey  = "fD0aVn8yqZ2sXw4mKc7uJr1pTgEoLhBi"
	otherKey = "Qp5hRk9eWz3tYb6nMv8xGd2sLjUcFaHo"
)

// keyed returns options with a verifier for testKey.
func keyed(t testing.TB, o api.Options) api.Options {
	t.Helper()
	v, err := auth.NewVerifier(t.Context(), auth.Options{Key: []byte(testKey), Now: o.Now})
	if err != nil {
		t.Fatal(err)
	}
	o.Verifier = v
	return o
}

// holder is the content of a token.
type holder struct {
	publish, subscribe string // patterns, separated by spaces
	answer             string
	subject            string
	admin              bool
	expires            time.Duration // from now; 0 is an hour
	key                string        // "" is testKey
}

func (h holder) token(t testing.TB) string {
	t.Helper()
	if h.key == "" {
		h.key = testKey
	}
	if h.expires == 0 {
		h.expires = time.Hour
	}
	publish, err := store.NewFilter(strings.Fields(h.publish)...)
	if err != nil {
		t.Fatal(err)
	}
	subscribe, err := store.NewFilter(strings.Fields(h.subscribe)...)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := store.NewFilter(strings.Fields(h.answer)...)
	if err != nil {
		t.Fatal(err)
	}
	grant := auth.Grant{Subject: h.subject, Publish: publish, Subscribe: subscribe, Answer: answer, Admin: h.admin,
		Expires: time.Now().Add(h.expires)}
	token, err := auth.Mint([]byte(h.key), grant, auth.MintOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// everything returns a token that may publish and read all topics.
func everything(t testing.TB) string { return holder{publish: ">", subscribe: ">"}.token(t) }

func bearer(token string) string { return "Authorization: Bearer " + token }

// head sends a request and returns the response without its body, which may not end.
func (s *server) head(method, path, body string, headers ...string) answer {
	s.t.Helper()
	resp := s.roundTrip(method, path, body, headers)
	resp.Body.Close()
	return answer{status: resp.StatusCode, header: resp.Header}
}

// TestTokenPlaces: where a token may be, and what happens to other values there. Rows 79 and 86 of docs/ERRORS.md.
func TestTokenPlaces(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{AllowQueryToken: true}))
	good, bad := everything(t), holder{key: otherKey}.token(t)
	for _, c := range []struct {
		name, path string
		headers    []string
		status     int
		code       string
	}{
		{"header", "/v1/log", headers(bearer(good)), 200, ""},
		{"header, scheme in another case", "/v1/log",
			headers("Authorization: bEARER " + good), 200, ""},
		{"cookie", "/v1/log", headers("Cookie: tidings_token=" + good), 200, ""},
		{"the header comes before the cookie", "/v1/log",
			headers(bearer(good), "Cookie: tidings_token="+bad), 200, ""},
		{"a bad header is not made good by a cookie", "/v1/log",
			headers(bearer(bad), "Cookie: tidings_token="+good), 401, "token-invalid"},
		{"the cookie of TLS without TLS", "/v1/log",
			headers("Cookie: __Host-tidings_token=" + good), 401, "token-missing"},
		{"query of a stream", "/v1/stream?access_token=" + good, nil, 200, ""},
		{"query of a topic's stream", "/v1/topics/a/stream?access_token=" + good, nil, 200, ""},
		{"the query comes before the cookie", "/v1/stream?access_token=" + bad,
			headers("Cookie: tidings_token=" + good), 401, "token-invalid"},
		{"query of anything else", "/v1/log?access_token=" + good, nil, 401, "token-missing"},
		{"row 79: query of anything else, and header", "/v1/log?access_token=" + good,
			headers(bearer(good)), 400, "query-invalid"},
		{"row 79: nothing", "/v1/log", nil, 401, "token-missing"},
		{"row 79: nothing, for a stream", "/v1/stream", nil, 401, "token-missing"},
		{"row 79: Basic", "/v1/log", headers("Authorization: Basic dTpw"), 401, "token-missing"},
		{"row 79: Basic, and a cookie", "/v1/log", headers("Authorization: Basic dTpw",
			"Cookie: tidings_token="+good), 200, ""},
		{"row 79: Basic, and a bad cookie", "/v1/log", headers("Authorization: Basic dTpw",
			"Cookie: tidings_token="+bad), 401, "token-invalid"},
		{"row 79: Negotiate, and the query of a stream", "/v1/stream?access_token=" + good,
			headers("Authorization: Negotiate dTpw"), 200, ""},
		{"row 79: Basic, and a token", "/v1/log", headers("Authorization: Basic dTpw", bearer(good)),
			200, ""},
		{"row 79: Bearer and no more, and a cookie", "/v1/log", headers("Authorization: Bearer",
			"Cookie: tidings_token="+good), 401, "token-missing"},
		{"row 79: Bearer and no more", "/v1/log", headers("Authorization: Bearer"), 401,
			"token-missing"},
		{"row 79: two headers", "/v1/log", headers(bearer(good), bearer(good)), 400,
			"token-ambiguous"},
		{"row 79: header and query", "/v1/stream?access_token=" + good, headers(bearer(good)), 400,
			"token-ambiguous"},
		{"row 79: two in the query", "/v1/stream?access_token=" + good + "&access_token=" + good,
			nil, 400, "token-ambiguous"},
		{"row 86: 8 KiB and a byte", "/v1/log", headers(bearer(strings.Repeat("a", 8<<10+1))), 401,
			"token-invalid"},
		{"row 86: 8 KiB and a byte in the query",
			"/v1/stream?access_token=" + strings.Repeat(".", 8<<10+1), nil, 401, "token-invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.head("GET", c.path, "", c.headers...)
			if a.status != c.status {
				t.Fatalf("%d, want %d", a.status, c.status)
			}
			if c.status == 200 {
				return
			}
			if got := s.do("GET", c.path, "", c.headers...).problem(t); got.Code != c.code {
				t.Errorf("got %+v, want %s", got, c.code)
			}
			if got := a.header.Get("WWW-Authenticate"); (got == "Bearer") != (c.status == 401) {
				t.Errorf("%d with WWW-Authenticate %q", c.status, got)
			}
		})
	}
}

// TestQueryToken: a token in a query counts only where that is allowed; either way the first one, and no other,
// causes a warning.
func TestQueryToken(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		var log e2e.Output
		s := newServer(t, newLog(t), 0, keyed(t, api.Options{AllowQueryToken: allowed,
			Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		c := newContract(t, s)
		good := everything(t)
		for _, path := range []string{"/v1/stream?topic=a&", "/v1/topics/a/stream?"} {
			for _, with := range [][]string{nil, {bearer(good)}, {"Cookie: tidings_token=" + good},
				{"Authorization: Basic dTpw"}} {
				t.Run(fmt.Sprintf("row 235: %s, allowed %t, with %.13q", path, allowed, with),
					func(t *testing.T) {
						path := path + "access_token=" + good
						if allowed {
							s.head("GET", path, "", with...) // TestTokenPlaces checks the response
							return
						}
						a := s.do("GET", path, "", with...)
						p := a.problem(t)
						if a.status != 401 || p.Code != "query-token-off" ||
							!strings.Contains(p.Detail, "--allow-query-token") ||
							a.header.Get("WWW-Authenticate") != "Bearer" {
							t.Errorf("%d %s, want 401 query-token-off", a.status, a.body)
						}
						c.response(t, "GET", path, a)
					})
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 ||
			!strings.Contains(log.String(), fmt.Sprintf("accepted=%t", allowed)) {
			t.Errorf("allowed %t: %d warnings, want one: %s", allowed, n, log.String())
		}
	}
}

// TestTokenClaims: an error inside a genuine token is distinguished from a token that is not genuine.
func TestTokenClaims(t *testing.T) {
	o := keyed(t, api.Options{})
	s := newServer(t, newLog(t), 0, o)
	// {"exp":4102444800,"tidings":null}, signed with testKey
	token := signed(t, `{"exp":4102444800,"tidings":null}`)
	a := s.do("GET", "/v1/log", "", bearer(token))
	if p := a.problem(t); a.status != 401 || p.Code != "token-claims" ||
		a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestForbiddenTellsNothing: the response is the same whether or not the topic or the event exists.
func TestForbiddenTellsNothing(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	a := s.do("POST", "/v1/topics/there/events", "1", bearer(everything(t)))
	id := strings.TrimPrefix(a.header.Get("Location"), "/v1/events/")
	stranger := bearer(holder{publish: "mine", subscribe: "mine"}.token(t))
	for _, c := range []struct{ method, there, gone string }{
		{"POST", "/v1/topics/there/events", "/v1/topics/gone/events"},
		{"GET", "/v1/topics/there/stream", "/v1/topics/gone/stream"},
		{"GET", "/v1/stream?topic=there", "/v1/stream?topic=gone"},
		{"GET", "/v1/events/" + id, "/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV"},
	} {
		there, gone := s.do(c.method, c.there, "1", stranger), s.do(c.method, c.gone, "1", stranger)
		p, q := there.problem(t), gone.problem(t)
		p.RequestID, q.RequestID = "", ""
		p.Detail = strings.ReplaceAll(p.Detail, "there", "gone")
		if p != q {
			t.Errorf("%s %s: %+v\n%s: %+v", c.method, c.there, p, c.gone, q)
		}
	}
}

// signed returns a token with a payload that Mint would not create.
func signed(t testing.TB, payload string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, []byte(testKey))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}
