package api_test

import (
	"fmt"
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

// TestDeliveryTag: of two people who change a delivery that both have read, the second is refused, as is who creates
// one under a name that is taken. Sending does not change the tag.
func TestDeliveryTag(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	c, r := newContract(t, s), newReceiver(t, http.StatusOK)
	admin := bearer(holder{publish: ">", subscribe: ">", admin: true}.token(t))
	put := func(status int, body string, condition ...string) (tag string) {
		t.Helper()
		a := s.do("PUT", "/v1/deliveries/shop", body, append(condition, admin)...)
		c.response(t, "PUT", "/v1/deliveries/shop", a)
		if a.status != status {
			t.Fatalf("%d %s, want %d", a.status, a.body, status)
		}
		return a.header.Get("ETag")
	}
	first := put(http.StatusCreated, hookBody(r.url, ""), "If-None-Match: *")
	s.do("POST", "/v1/topics/orders.eu/events", "1", admin)
	r.next(t)
	read := s.do("GET", "/v1/deliveries/shop", "", admin)
	c.response(t, "GET", "/v1/deliveries/shop", read)
	if got := read.header.Get("ETag"); got != first || !strings.Contains(read.body, `"tag":`+got) {
		t.Errorf("the ETag is %s, then %s, of %s: nobody has changed the settings", first, got, read.body)
	}
	second := put(http.StatusOK, `{"topics":["orders.>","refunds"]}`, "If-Match: "+first)
	t.Run("row 372: another has changed the delivery", func(*testing.T) {
		put(http.StatusPreconditionFailed, `{"topics":["orders.>"]}`, "If-Match: "+first)
	})
	t.Run("row 372: the delivery exists", func(*testing.T) {
		put(http.StatusPreconditionFailed, hookBody(r.url, ""), "If-None-Match: *")
	})
	t.Run("row 371: no tag of a delivery", func(*testing.T) {
		put(http.StatusBadRequest, `{"topics":["orders.>"]}`, "If-Match: *")
	})
	third := put(http.StatusOK, fmt.Sprintf(`{"url":%q}`, r.url+"&more"), "If-Match: "+second)
	read = s.do("GET", "/v1/deliveries/shop", "", admin)
	if !strings.Contains(read.body, "refunds") || third == second {
		t.Errorf("%s, tags %s and %s of two URLs", read.body, second, third)
	}
	s.do("DELETE", "/v1/deliveries/shop", "", admin)
	put(http.StatusPreconditionFailed, hookBody(r.url, ""), "If-Match: "+third)
}
