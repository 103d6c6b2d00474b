package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"tidings/api"
)

// FuzzShortWay: a path matched without the router leads where the router would lead it, and the paths of publishes
// are matched so.
func FuzzShortWay(f *testing.F) {
	for _, path := range []string{"/v1/events", "/v1/events/", "/v1//events", "/v1/topics/a/events",
		"/v1/topics/a%2Fb/events", "/v1/topics/a%2fend/end", "/v1/topics/events/events",
		"/v1/topics//events", "/v1/topics/events", "/v1/topics/a/b/events", "/v1/topics/a/end",
		"/v1/topics/a\n/events", "/v1/topics/a/events\n", "/v1/topics/ü/events", "/v1/topics/{topic}/events",
		"/v1/topics/%zz/events", "/v1/topics/a b/end", "/v1/topics/a;b=c/end", "/V1/events", "//v1/events"} {
		f.Add(path)
	}
	log := newLog(f)
	s := newServer(f, log, 0, api.Options{})
	published := map[string]bool{"/v1/events": true, "/v1/topics/{topic}/events": true,
		"/v1/topics/{topic}/end": true}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return // no request has such a path
		}
		short, router := s.api.Find(&http.Request{Method: "POST", URL: u})
		switch {
		case short == nil && router != nil && published[router.Route]:
			t.Errorf("%q has no short way to %+v", path, *router)
		case short != nil && (router == nil || *short != *router):
			t.Errorf("%q leads to %+v, for the router to %+v", path, *short, router)
		}
	})
}
