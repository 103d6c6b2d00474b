package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// endpoint is what a method of a path does, who may call it, and with which query parameters. Written without field
// names it does not compile if one of them is left out.
type endpoint struct {
	access access
	params params
	handle handler
}

// handler answers an admitted request, or returns the problem to answer with and has written nothing. The query holds
// what its endpoint's params accept.
type handler func(w http.ResponseWriter, r *http.Request, query url.Values) *problem

// plain is a handler that never has a problem.
func plain(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
		h.ServeHTTP(w, r)
		return nil
	}
}

// methods are the endpoints of a path.
type methods map[string]endpoint

// route is a path, with at most one variable, and its endpoints.
type route struct {
	path    string
	methods methods
}

// variable returns the name of the variable in the path, and what comes before and after it; without a variable the
// whole path comes before it.
func (r route) variable() (before, name, behind string) {
	before, rest, _ := strings.Cut(r.path, "{")
	name, behind, _ = strings.Cut(rest, "}")
	return before, name, behind
}

func (s *Server) table() []route {
	none, unchecked := params{}, params{unchecked: true}
	// The parameters of a publish depend on the form of its events, and are checked after its topic: publish.go does
	// both.
	byForm := unchecked
	start := append([]string{"since", "last"}, cursorNames...)
	topics := []string{"topic"}
	streamed := params{slices.Concat(start, []string{"format", tokenParameter}), topics, false}
	paged := params{slices.Concat(start, []string{"limit", "wait", "before"}), topics, false}

	stream := methods{"GET": {streaming, streamed, s.stream}, "HEAD": {streaming, streamed, s.stream}}
	console := methods{"GET": {open, unchecked, s.console}, "HEAD": {open, unchecked, s.console}}
	return slices.Concat(s.deliveryRoutes(), s.deviceRoutes(), s.alertRoutes(), []route{
		{"/v1/topics/{topic}/events", methods{"GET": {listing, paged, s.pages},
			"POST": {publishing, byForm, s.publish}}},
		{"/v1/topics/{topic}/end", methods{"POST": {publishing, byForm, s.end}}},
		{"/v1/topics/{topic}/stream", stream},
		{"/v1/topics/{topic}/trim", methods{"POST": {admin, params{single: []string{"before"}}, s.trim}}},
		{"/v1/stream", stream},
		{"/v1/events", methods{"GET": {listing, paged, s.pages},
			"POST": {publishing, byForm, s.publishBatch}}},
		{"/v1/events/{id}", methods{"GET": {reading, none, s.event}}},
		{"/v1/topics/{topic}", methods{"GET": {reading, none, s.topic}}},
		{"/v1/topics", methods{"GET": {listing, params{repeated: topics}, s.topics}}},
		{"/v1/cursors", methods{"GET": {reading, params{single: []string{"after"}}, s.listMarks}}},
		{"/v1/cursors/{name}", methods{"GET": {reading, none, s.getMark},
			"PUT": {reading, none, s.putMark}, "DELETE": {reading, none, s.deleteMark}}},
		{"/v1/log", methods{"GET": {anyToken, none, s.logInfo}}},
		{"/v1/subscribers", methods{"GET": {admin, none, s.listSubscribers}}},
		{"/v1/subscribers/{id}", methods{"DELETE": {admin, none, s.cutSubscriber}}},
		{"/v1/subscribers/{id}/state", methods{"PUT": {reading, none, s.reportState}}},
		{"/v1/clock/trust", methods{"POST": {admin, none, s.trustClock}}},
		{"/v1/backup", methods{"GET": {admin, none, s.backup}}},
		{"/v1/session", methods{"GET": {open, none, s.getSession},
			"PUT": {open, none, s.putSession}, "DELETE": {anyToken, none, s.deleteSession}}},
		{"/healthz", methods{"GET": {probe, unchecked, s.healthz}}},
		{"/metrics", methods{"GET": {scraping, unchecked, plain(s.MetricsHandler())}}},
		{"/readyz", methods{"GET": {probe, unchecked, s.readyz}}},
		{"/openapi.yaml", methods{"GET": {open, none, s.openapi}}},
		{"/", console}, {"/console/{file}", console},
		{"/tidings.js", console}, {"/tidings.d.ts", console}, {"/locks.js", console},
		{"/alarm.js", console}, {"/alarm.d.ts", console}, {"/presence.js", console}, {"/presence.d.ts", console},
		{"/push.js", console}, {"/push.d.ts", console}, {"/sw.js", console},
	})
}

// Endpoints lists what the router answers to, as "METHOD /path" with variables in braces. HEAD, which works wherever
// GET does, is listed only where it is a separate endpoint.
func (s *Server) Endpoints() []string {
	var all []string
	for _, r := range s.table() {
		for method := range r.methods {
			all = append(all, method+" "+r.path)
		}
	}
	slices.Sort(all)
	return all
}

// routes builds the router. It works on the path as it was sent: nothing is cleaned, decoded or redirected before a
// handler has seen it.
func (s *Server) routes() http.Handler {
	m := mux.NewRouter().SkipClean(true).UseEncodedPath()
	f := &front{rest: m}
	for _, r := range s.table() {
		if get, ok := r.methods["GET"]; ok {
			if _, own := r.methods["HEAD"]; !own {
				r.methods["HEAD"] = get // RFC 9110 section 9.1; net/http leaves the body out
			}
		}
		allow := strings.Join(slices.Sorted(maps.Keys(r.methods)), ", ")
		other := s.guard(endpoint{open, params{unchecked: true},
			func(w http.ResponseWriter, _ *http.Request, _ url.Values) *problem {
				w.Header().Set("Allow", allow)
				return &problem{code: "method-not-allowed", detail: "allowed here: " + allow}
			}})
		byMethod := make(map[string]guarded)
		for method, e := range r.methods {
			byMethod[method] = s.guard(e)
		}
		serve := func(w http.ResponseWriter, r *http.Request, variable string) {
			h, ok := byMethod[r.Method]
			if !ok {
				h = other
			}
			h(w, r, variable)
		}
		before, name, behind := r.variable()
		m.HandleFunc(r.path, func(w http.ResponseWriter, r *http.Request) {
			serve(w, r, mux.Vars(r)[name])
		})
		if r.methods["POST"].access == publishing {
			f.short = append(f.short, shortWay{r.path, before, behind, serve})
		}
	}
	notFound := s.guard(endpoint{open, params{unchecked: true}, s.notFound})
	m.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		notFound(w, r, "")
	})
	return f
}

// front routes the paths that events are published to past the router, whose regular expressions, request copies and
// contexts would cost more than the work on an event. It finds what the router would.
type front struct {
	short []shortWay
	rest  http.Handler
}

// shortWay is a path compared literally, except for one segment of any value if it has a variable.
type shortWay struct {
	path           string
	before, behind string // the variable; without one, before is the whole path
	serve          guarded
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	for i := range f.short {
		if variable, ok := f.short[i].match(path); ok {
			f.short[i].serve(w, r, variable)
			return
		}
	}
	f.rest.ServeHTTP(w, r)
}

func (s *shortWay) match(path string) (variable string, ok bool) {
	if s.before == s.path {
		return "", path == s.path
	}
	variable, ok = strings.CutPrefix(path, s.before)
	if ok {
		variable, ok = strings.CutSuffix(variable, s.behind)
	}
	return variable, ok && variable != "" && !strings.Contains(variable, "/")
}

func (s *Server) notFound(_ http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	for segment := range strings.SplitSeq(strings.TrimPrefix(r.URL.Path, "/"), "/") {
		if r.URL.Path != "/" && (segment == "" || segment == "." || segment == "..") {
			return &problem{code: "bad-path", detail: `the path has an empty, "." or ".." segment`}
		}
	}
	return &problem{code: "not-found", detail: "no such path"}
}
