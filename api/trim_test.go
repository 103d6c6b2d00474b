package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/api"
	"tidings/internal/retention"
)

// TestTrim: the topic's events before the ID are gone and no others, cursors before them get a gap, and repeating the
// request deletes nothing.
func TestTrim(t *testing.T) {
	s := start(t)
	first, other := s.publish("orders.eu", "1"), s.publish("orders.us", "1")
	second, third := s.publish("orders.eu", "2"), s.publish("orders.eu", "3")
	for _, want := range []string{`{"deleted":2}`, `{"deleted":0}`} {
		a := s.do("POST", "/v1/topics/orders.eu/trim?before="+lower(third), "")
		if a.status != 200 || a.body != want+"\n" {
			t.Fatalf("got %d %s, want %s", a.status, a.body, want)
		}
	}
	for id, want := range map[string]int{first: 404, other: 200, second: 404, third: 200} {
		if a := s.do("GET", "/v1/events/"+id, ""); a.status != want {
			t.Errorf("%s: %d, want %d", id, a.status, want)
		}
	}
	for after, want := range map[string]bool{first: true, second: false} {
		var page struct {
			Gap *struct{ Reason, Through string }
		}
		s.do("GET", "/v1/topics/orders.eu/events?after="+after, "").decode(t, &page)
		if got := page.Gap != nil; got != want || want &&
			(page.Gap.Reason != "expired" || page.Gap.Through != second) {
			t.Errorf("after %s: gap %+v, want one: %v", after, page.Gap, want)
		}
	}
}

func TestTrimRefuses(t *testing.T) {
	s := start(t)
	id := s.publish("orders", "1")
	for path, want := range map[string]string{
		"/v1/topics/orders/trim":                        "id-invalid",
		"/v1/topics/orders/trim?before=":                "id-invalid",
		"/v1/topics/orders/trim?before=" + id[1:]:       "id-invalid",
		"/v1/topics/orders/trim?after=" + id:            "query-invalid",
		"/v1/topics/%3E/trim?before=" + id:              "topic-invalid",
		"/v1/topics/orders/trim?before=" + id + "&x=1":  "query-invalid",
		"/v1/topics/orders.%2A/trim?before=" + id:       "topic-invalid",
		"/v1/topics/orders/trim?topic=x&before=" + id:   "query-invalid",
		"/v1/topics/orders/trim?before=&before=" + id:   "query-invalid",
		"/v1/topics/orders/trim/?before=" + id + "&x=1": "bad-path",
	} {
		if p := s.do("POST", path, "").problem(t); p.Code != want {
			t.Errorf("%s: %s, want %s", path, p.Code, want)
		}
	}
	for name, before := range map[string]string{
		"row 135: the highest ID": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
		"row 135: by one":         idAfter(t, id),
	} {
		t.Run(name, func(t *testing.T) {
			a := s.do("POST", "/v1/topics/orders/trim?before="+before, "")
			if p := a.problem(t); p.Code != "id-invalid" || p.Field != "before" {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	if a := s.do("GET", "/v1/events/"+id, ""); a.status != 200 {
		t.Errorf("the event is gone: %d", a.status)
	}
}

// TestRetentionIsTold: /v1/log has the policy in force, even if that is to keep everything.
func TestRetentionIsTold(t *testing.T) {
	policy := retention.Policy{
		Age: []retention.Limit[time.Duration]{{Max: 36 * time.Hour},
			{Pattern: "orders.>", Max: 1500 * time.Millisecond}},
		Events: []retention.Limit[uint64]{{Pattern: "*", Max: 10_000_000_000}},
	}
	for _, c := range []struct {
		policy retention.Policy
		want   string
	}{
		{retention.Policy{}, `{"age_seconds":[],"events":[],"bytes":[]}`},
		{policy,
			`{"age_seconds":[{"pattern":null,"max":129600},{"pattern":"orders.>","max":1.5}],"events":[{"pattern":"*","max":10000000000}],"bytes":[]}`},
	} {
		s := newServer(t, newLog(t), 0, api.Options{Retention: c.policy})
		var got, want any
		var body struct{ Retention any }
		s.do("GET", "/v1/log", "").decode(t, &body)
		got = body.Retention
		answer{body: c.want}.decode(t, &want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("retention (-want +got):\n%s", diff)
		}
	}
}
