package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// TestLenientRows: rows 211 to 214 of docs/ERRORS.md. What people and their tools send and mean is accepted, in each
// spelling.
func TestLenientRows(t *testing.T) {
	const ce = `{"specversion":"1.0","id":"1","source":"/s","type":"t"`
	const one, many = "/v1/topics/a/events", "/v1/events"
	for _, c := range []struct {
		name, path, media, body string
		attributes              map[string]string
	}{
		{"row 211: an extension", one, "application/cloudevents+json",
			ce + `,"tenant":null,"data":1}`, map[string]string{"tenant": ""}},
		{"row 211: each that may be left out", one, "application/cloudevents+json",
			ce + `,"subject":null,"time":null,"dataschema":null,"datacontenttype":null,` +
				`"data_base64":null,"data":1}`, map[string]string{"subject": "", "time": ""}},
		{"row 211: in a batch", many, "application/cloudevents-batch+json",
			`[` + ce + `,"topic":"a","tenant":null,"data":1}]`, nil},
		{"row 211: the data", one, "application/cloudevents+json", ce + `,"data":null}`, nil},
		{"row 245: a line of JSON data", many, "application/x-ndjson",
			`{"topic":"a","type":null,"datacontenttype":null,"data_base64":null,"data":{"a":null}}`, nil},
		{"row 245: a line of bytes", many, "application/x-ndjson",
			`{"topic":"a","type" : null ,"datacontenttype":"image/png","data_base64":"AA=="}`, nil},
		{"row 245: a line whose data is null", many, "application/x-ndjson",
			`{"topic":"a","data_base64":null,"data":null}`, nil},
		{"row 212: JSON, utf8", one, "application/json; charset=utf8", "1", nil},
		{"row 212: JSON, Latin-1", one, "application/json; charset=ISO-8859-1", "1", nil},
		{"row 212: JSON, an empty type", one, "", "1", nil},
		{"row 212: text, utf8", one, "text/plain; charset=utf8", "1", nil},
		{"row 212: text, quoted", one, `text/plain;charset="UTF-8"`, "1", nil},
		{"row 212: text, US-ASCII", one, "text/plain; charset=US-ASCII", "1", nil},
		{"row 212: a CloudEvent", one, "application/cloudevents+json; charset=latin1", ce + `}`, nil},
		{"row 212: lines", many, "application/x-ndjson; charset=utf8", `{"topic":"a","data":1}`, nil},
		{"row 212: lines by another name", many, "application/jsonl", `{"topic":"a","data":1}`, nil},
		{"row 212: and another", many, "application/ndjson", `{"topic":"a","data":1}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			a := s.do("POST", c.path, c.body, "Content-Type: "+c.media)
			if a.status != http.StatusCreated {
				t.Fatalf("%d %s", a.status, a.body)
			}
			page := s.do("GET", "/v1/events?since=earliest", "", "Accept: application/cloudevents-batch+json, */*")
			for name := range c.attributes {
				if strings.Contains(page.body, `"`+name+`":null`) {
					t.Errorf("%q came out: %s", name, page.body)
				}
			}
		})
	}
	for _, c := range []struct{ name, since string }{
		{"row 213: escaped", "2026-03-01T22:00:00%2B02:00"},
		{"row 213: not escaped", "2026-03-01T22:00:00+02:00"},
		{"row 213: west", "2026-03-01T18:00:00-02:00"},
		{"row 213: lower case", "2026-03-01t20:00:00z"},
		{"row 213: a leap second", "2026-03-01T19:59:60Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := start(t).do("GET", "/v1/events?since="+c.since, ""); a.status != http.StatusOK {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	for _, accept := range []string{"application/x-ndjson", "application/ndjson", "application/jsonl",
		"text/html, application/jsonl"} {
		t.Run("row 214: "+accept, func(t *testing.T) {
			s := start(t)
			s.publish("a", "1")
			a := s.do("GET", "/v1/events?since=earliest", "", "Accept: "+accept)
			if a.status != http.StatusOK ||
				a.header.Get("Content-Type") != "application/x-ndjson" {
				t.Errorf("%d %v %s", a.status, a.header, a.body)
			}
		})
	}
}

// TestLocationBehindPrefix: a proxy may serve the API below a path.
func TestLocationBehindPrefix(t *testing.T) {
	s := start(t)
	proxy := httptest.NewServer(http.StripPrefix("/news", s.api))
	defer proxy.Close()
	for _, path := range []string{"/v1/topics/orders/events", "/v1/topics/orders/end"} {
		resp, err := http.Post(proxy.URL+"/news"+path, "", nil)
		if strings.HasSuffix(path, "/events") {
			resp, err = http.Post(proxy.URL+"/news"+path, "", strings.NewReader("1"))
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		location, err := resp.Location()
		if err != nil || !strings.HasPrefix(location.Path, "/news/v1/events/") {
			t.Fatalf("%s: %d, at %v, error %v", path, resp.StatusCode, location, err)
		}
		if resp, err = http.Get(location.String()); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %v, error %v", location, resp, err)
		}
		resp.Body.Close()
	}
}

// TestForwardedForms: an address that a proxy passes on counts in each notation.
func TestForwardedForms(t *testing.T) {
	fixed := func() time.Time { return time.Unix(1_800_000_000, 0) }
	for _, c := range []struct {
		name, first, second string
		same                bool
	}{
		{"a port", "203.0.113.7:51234", "203.0.113.7:9", true},
		{"a port and none", "203.0.113.7:51234", "203.0.113.7", true},
		{"two with ports", "203.0.113.7:51234", "203.0.113.8:51234", false},
		{"version 6 in brackets", "[2001:db8::1]", "2001:db8::1", true},
		{"version 6 with a port", "[2001:db8::1]:443", "2001:db8::1", true},
		{"two of version 6 with ports", "[2001:db8:1::1]:443", "[2001:db8:2::1]:443", false},
		{"a zone", "fe80::1%eth0", "fe80::1", true},
		{"an empty entry behind", "203.0.113.7,", "203.0.113.7", true},
		{"empty entries between", "203.0.113.7, ,, 10.0.0.1", "203.0.113.7", true},
		{"an empty entry before", ", 203.0.113.7", "203.0.113.8", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := api.Options{RateRead: 1, RatePerAddress: true, Now: fixed,
				TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"),
					netip.MustParsePrefix("10.0.0.0/8")}}
			s := newServer(t, newLog(t), 0, keyed(t, o))
			s.do("GET", "/v1/log", "", "X-Forwarded-For: "+c.first)
			want := map[bool]int{true: 429, false: 401}[c.same]
			if a := s.do("GET", "/v1/log", "", "X-Forwarded-For: "+c.second); a.status != want {
				t.Errorf("second: %d, want %d", a.status, want)
			}
		})
	}
}

// TestRateLimitFields: responses report what is left of a limit, even the one that refuses.
func TestRateLimitFields(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{RatePublish: 2,
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	for _, want := range []string{`"publish";r=1;t=1`, `"publish";r=0;t=1`, `"publish";r=0;t=1`} {
		a := s.do("POST", "/v1/topics/a/events", "1")
		if got := a.header.Get("RateLimit"); got != want ||
			a.header.Get("RateLimit-Policy") != `"publish";q=2;w=1` {
			t.Errorf("%d: RateLimit %s, RateLimit-Policy %s, want %s", a.status, got,
				a.header.Get("RateLimit-Policy"), want)
		}
	}
	if a := s.do("GET", "/v1/log", ""); a.header.Get("RateLimit") != "" {
		t.Errorf("there is no limit, but RateLimit is %s", a.header.Get("RateLimit"))
	}
}

// TestRatePerAddressOfOpenPaths: paths that need no token are limited too.
func TestRatePerAddressOfOpenPaths(t *testing.T) {
	for _, path := range []string{"/", "/tidings.js", "/openapi.yaml", "/v1/session", "/nothing"} {
		s := newServer(t, newLog(t), 0, api.Options{RateRead: 1, RatePerAddress: true,
			Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
		s.do("GET", path, "")
		if a := s.do("GET", path, ""); a.status != http.StatusTooManyRequests {
			t.Errorf("%s: %d, want 429", path, a.status)
		}
		if a := s.do("GET", "/healthz", ""); a.status != http.StatusOK {
			t.Errorf("a health check: %d", a.status)
		}
	}
}

// TestNullMembers: null means absent, and a required member is then missing. An unknown member is refused even if it
// is null.
func TestNullMembers(t *testing.T) {
	for _, c := range []struct{ name, line, field string }{
		{"row 245: no topic", `{"topic":null,"data":1}`, "topic"},
		{"row 245: bytes without a content type",
			`{"topic":"a","datacontenttype":null,"data_base64":"AA=="}`, "datacontenttype"},
		{"row 245: no data", `{"topic":"a","data_base64":null}`, "data"},
		{"row 245: null data beside bytes",
			`{"topic":"a","datacontenttype":"image/png","data_base64":"AA==","data":null}`, "data"},
		{"row 245: an unknown member", `{"topic":"a","data":1,"id":null}`, "id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := start(t).do("POST", "/v1/events", c.line, "Content-Type: application/x-ndjson")
			if p := a.problem(t); p.Code != "member-invalid" || p.Field != c.field {
				t.Errorf("%d %s, want member-invalid of %q", a.status, a.body, c.field)
			}
		})
	}
	t.Run("row 245: a mark's topics", func(t *testing.T) {
		s := start(t)
		s.publish("a", "1")
		s.do("PUT", "/v1/cursors/inbox", `{"id":"00000000000000000000000000","topics":["a"]}`)
		id := s.publish("a", "2")
		a := s.do("PUT", "/v1/cursors/inbox", `{"id":"`+id+`","topics":null}`)
		if a.status != http.StatusOK || !strings.Contains(a.body, `"topics":["a"]`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// TestByteOrderMark: the refusal names it.
func TestByteOrderMark(t *testing.T) {
	s := start(t)
	for path, media := range map[string]string{"/v1/topics/a/events": "application/json",
		"/v1/events": "application/x-ndjson"} {
		a := s.do("POST", path, "\ufeff"+`{"topic":"a","data":1}`, "Content-Type: "+media)
		if p := a.problem(t); p.Code != "json-invalid" || !strings.Contains(p.Detail, "byte order mark") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}
