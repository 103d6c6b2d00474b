package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// endpoint is what a method of a path does, and who may. Written without field names it does not
// compile when the access is left out.
type endpoint struct {
	access access
	handle http.HandlerFunc
}

// methods are the endpoints of a path.
type methods map[string]endpoint

// route is a path and its endpoints.
type route struct {
	path    string
	methods methods
}

func (s *Server) table() []route {
	stream := methods{"GET": {streaming, s.stream}, "HEAD": {streaming, s.stream}}
	console := methods{"GET": {open, s.console}, "HEAD": {open, s.console}}
	return []route{
		{"/v1/topics/{topic}/events", methods{"GET": {reading, compressed(s.pages)},
			"POST": {publishing, s.publish}}},
		{"/v1/topics/{topic}/end", methods{"POST": {publishing, s.end}}},
		{"/v1/topics/{topic}/stream", stream},
		{"/v1/topics/{topic}/trim", methods{"POST": {admin, s.trim}}},
		{"/v1/stream", stream},
		{"/v1/events", methods{"GET": {reading, compressed(s.pages)},
			"POST": {publishing, s.publishBatch}}},
		{"/v1/events/{id}", methods{"GET": {reading, s.event}}},
		{"/v1/topics", methods{"GET": {reading, compressed(s.topics)}}},
		{"/v1/cursors/{name}", methods{"GET": {reading, s.getMark}, "PUT": {reading, s.putMark},
			"DELETE": {reading, s.deleteMark}}},
		{"/v1/log", methods{"GET": {anyToken, s.logInfo}}},
		{"/v1/subscribers", methods{"GET": {admin, s.listSubscribers}}},
		{"/v1/subscribers/{id}", methods{"DELETE": {admin, s.cutSubscriber}}},
		{"/v1/backup", methods{"GET": {admin, s.backup}}},
		{"/v1/session", methods{"GET": {open, s.getSession}, "PUT": {anyToken, s.putSession},
			"DELETE": {anyToken, s.deleteSession}}},
		{"/healthz", methods{"GET": {probe, s.healthz}}},
		{"/metrics", methods{"GET": {scraping, s.MetricsHandler().ServeHTTP}}},
		{"/readyz", methods{"GET": {probe, s.readyz}}},
		{"/openapi.yaml", methods{"GET": {open, s.openapi}}},
		{"/", console},
		{"/console/{file}", console},
		{"/tidings.js", console},
		{"/tidings.d.ts", console},
	}
}

// Endpoints lists what the router answers to, as "METHOD /path" with variables in braces.
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

// routes builds the router. It works on the path as it was sent: nothing is cleaned, decoded or
// redirected before a handler has looked at it.
func (s *Server) routes() http.Handler {
	m := mux.NewRouter().SkipClean(true).UseEncodedPath()
	for _, r := range s.table() {
		allow := strings.Join(slices.Sorted(maps.Keys(r.methods)), ", ")
		other := s.guard(endpoint{open, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			s.fail(w, r, problem{code: "method-not-allowed", detail: "allowed here: " + allow})
		}})
		guarded := make(map[string]http.HandlerFunc)
		for method, e := range r.methods {
			guarded[method] = s.guard(e)
		}
		m.HandleFunc(r.path, func(w http.ResponseWriter, r *http.Request) {
			h, ok := guarded[r.Method]
			if !ok {
				h = other
			}
			h(w, r)
		})
	}
	m.NotFoundHandler = s.guard(endpoint{open, s.notFound})
	return m
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	for segment := range strings.SplitSeq(strings.TrimPrefix(r.URL.Path, "/"), "/") {
		if r.URL.Path != "/" && (segment == "" || segment == "." || segment == "..") {
			s.fail(w, r, problem{code: "bad-path",
				detail: `the path has an empty, "." or ".." segment`})
			return
		}
	}
	s.fail(w, r, problem{code: "not-found", detail: "there is nothing at this path"})
}
