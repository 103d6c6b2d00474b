package api_test

import (
	"net/http"
	"strings"
	"testing"

	"tidings/api"
)

// TestRuleTag: of two people who change a rule that both have read, the second is refused; a tag outlives what does not
// change the settings.
func TestRuleTag(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{})
	type rule struct {
		Tag    string
		Topics []string
		Muted  *string `json:"muted_until"`
		Open   int
	}
	put := func(status int, body string, condition ...string) (r rule) {
		t.Helper()
		a := s.do("PUT", "/v1/alerts/orders", body, condition...)
		if a.status != status {
			t.Fatalf("%d %s, want %d", a.status, a.body, status)
		}
		if status/100 == 2 {
			a.decode(t, &r)
			if got := a.header.Get("ETag"); got != `"`+r.Tag+`"` {
				t.Errorf("ETag %s of a rule with the tag %s", got, r.Tag)
			}
		}
		return r
	}
	ifTag := func(tag string) string { return `If-Match: "` + tag + `"` }
	const created = `{"topics":["orders"]}`
	first := put(http.StatusCreated, created, "If-None-Match: *")
	put(http.StatusPreconditionFailed, created, "If-None-Match: *")
	s.publish("orders", "1")
	var read rule
	for s.do("GET", "/v1/alerts/orders", "").decode(t, &read); read.Open == 0; {
		s.do("GET", "/v1/alerts/orders", "").decode(t, &read)
	}
	if read.Tag != first.Tag {
		t.Errorf("the tag is %s, then %s: nobody has changed the settings", first.Tag, read.Tag)
	}
	second := put(http.StatusOK, `{"topics":["orders","refunds"]}`, ifTag(read.Tag))
	put(http.StatusPreconditionFailed, `{"topics":["orders"],"muted_until":"2030-01-01T00:00:00Z"}`, ifTag(read.Tag))
	last := put(http.StatusOK, `{"topics":["orders","refunds"],"muted_until":"2030-01-01T00:00:00Z"}`, ifTag(second.Tag))
	if last.Muted == nil || strings.Join(last.Topics, " ") != "orders refunds" {
		t.Errorf("the rule is %+v", last)
	}
	if back := put(http.StatusOK, created); back.Tag != first.Tag {
		t.Errorf("the same settings have the tags %s and %s", first.Tag, back.Tag)
	}
}
