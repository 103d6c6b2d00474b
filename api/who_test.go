package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// whoOf returns who the server takes the sender of the headers for; each kind of response must say the same.
func whoOf(s *server, headers ...string) string {
	s.t.Helper()
	who := ""
	for _, path := range []string{"/v1/events?topic=a.b", "/v1/topics/a.b/events?since=earliest",
		"/v1/topics/a.b/events?limit=1"} {
		for _, form := range []string{"application/json", "application/x-ndjson"} {
			a := s.do("GET", path, "", append(headers, "Accept: "+form)...)
			got := a.header.Get("Tidings-Who")
			if a.status != 200 || got == "" || who != "" && got != who {
				s.t.Fatalf("GET %s as %s: %d, who %q, want %q", path, form, a.status, got, who)
			}
			who = got
		}
	}
	resp := s.roundTrip("GET", "/v1/topics/a.b/stream", "", headers)
	defer resp.Body.Close()
	var open struct{ Who string }
	data := newStream(s.t, resp).until("tidings.open")
	err := json.Unmarshal([]byte(data[len(data)-1].Data), &open)
	if header := resp.Header.Get("Tidings-Who"); err != nil || open.Who != who || header != who {
		s.t.Fatalf("the stream says %q and %q, error %v, the pages say %q", header, open.Who, err, who)
	}
	return who
}

// issued returns a token from an issuer.
func issued(t *testing.T, issuer, subject string) string {
	return bearer(signed(t, `{"iss":"`+issuer+`","sub":"`+subject+
		`","exp":4102444800,"tidings":{"subscribe":["a.*"]}}`))
}

// whoForm is the pattern of schema Who in openapi.yaml.
var whoForm = regexp.MustCompile(`^([A-Za-z0-9_-]{22})?\.[A-Za-z0-9_-]{22}$`)

// TestWho: responses have the same digest if the reader is the same person, who may read the same.
func TestWho(t *testing.T) {
	log := newLog(t)
	s := newServer(t, log, 0, keyed(t, api.Options{}))
	ann := holder{subject: "ann", subscribe: "a.* b"}
	names := map[string]string{
		"ann":                     whoOf(s, bearer(ann.token(t))),
		"ben":                     whoOf(s, bearer(holder{subject: "ben", subscribe: "a.* b"}.token(t))),
		"ann who may read less":   whoOf(s, bearer(holder{subject: "ann", subscribe: "a.*"}.token(t))),
		"nobody":                  whoOf(s, bearer(holder{subscribe: "a.* b"}.token(t))),
		"nobody who may read all": whoOf(s, bearer(holder{subscribe: ">"}.token(t))),
		"an issuer's ann":         whoOf(s, issued(t, "x", "ann")),
		"another issuer's ann":    whoOf(s, issued(t, "y", "ann")),
		"ann of another log": whoOf(newServer(t, newLog(t), 0, keyed(t, api.Options{})),
			bearer(ann.token(t))),
	}
	seen := make(map[string]string)
	for name, who := range names {
		if !whoForm.MatchString(who) || seen[who] != "" {
			t.Errorf("%s is %q, which is %q", name, who, seen[who])
		}
		seen[who] = name
	}
	person := func(name string) string { p, _, _ := strings.Cut(names[name], "."); return p }
	for _, same := range [][2]string{
		{"ann", "ann who may read less"}, {"nobody", "nobody who may read all"},
	} {
		if person(same[0]) != person(same[1]) {
			t.Errorf("%s is %q, %s is %q", same[0], names[same[0]], same[1], names[same[1]])
		}
	}
	people := make(map[string]bool)
	for _, name := range []string{"ann", "ben", "nobody", "an issuer's ann", "another issuer's ann",
		"ann of another log"} {
		people[person(name)] = true
	}
	if len(people) != 6 || person("nobody") != "" {
		t.Errorf("six people are %v", people)
	}
	other := holder{subject: "ann", subscribe: "b a.* b", publish: "c", admin: true,
		expires: 2 * time.Hour}
	again := newServer(t, log, 0, keyed(t, api.Options{})) // as after a restart
	for name, got := range map[string]string{
		"another token":  whoOf(s, bearer(other.token(t))),
		"the cookie":     whoOf(s, "Cookie: tidings_token="+ann.token(t)),
		"another server": whoOf(again, bearer(ann.token(t))),
	} {
		if got != names["ann"] {
			t.Errorf("ann by %s is %q, want %q", name, got, names["ann"])
		}
	}
	if got := whoOf(s, bearer(holder{subscribe: "a.* b", publish: "z"}.token(t))); got != names["nobody"] {
		t.Errorf("another token without a subject: %q, want %q", got, names["nobody"])
	}
	open := newServer(t, log, 0, api.Options{})
	if got := whoOf(open); got != whoOf(open) || got != names["nobody who may read all"] {
		t.Errorf("without keys everybody is %q", got)
	}
}
