package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// route is a path and what each of its methods does.
type route struct {
	path    string
	methods map[string]http.HandlerFunc
}

func (s *Server) table() []route {
	get := func(h http.HandlerFunc) map[string]http.HandlerFunc {
		return map[string]http.HandlerFunc{http.MethodGet: h}
	}
	stream := map[string]http.HandlerFunc{http.MethodGet: s.stream, http.MethodHead: s.stream}
	return []route{
		{"/v1/topics/{topic}/events", map[string]http.HandlerFunc{http.MethodPost: s.publish}},
		{"/v1/topics/{topic}/stream", stream},
		{"/v1/stream", stream},
		{"/v1/events/{id}", get(s.event)},
		{"/v1/log", get(s.logInfo)},
		{"/healthz", get(s.healthz)},
		{"/readyz", get(s.readyz)},
	}
}

// routes builds the router. It works on the path as it was sent: nothing is cleaned, decoded or
// redirected before a handler has looked at it.
func (s *Server) routes() http.Handler {
	m := mux.NewRouter().SkipClean(true).UseEncodedPath()
	for _, r := range s.table() {
		m.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) {
			if h := r.methods[req.Method]; h != nil {
				h(w, req)
				return
			}
			w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(r.methods)), ", "))
			s.fail(w, req, problem{code: "method-not-allowed", detail: "allowed here: " + w.Header().Get("Allow")})
		})
	}
	m.NotFoundHandler = http.HandlerFunc(s.notFound)
	return m
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	for segment := range strings.SplitSeq(strings.TrimPrefix(r.URL.Path, "/"), "/") {
		if r.URL.Path != "/" && (segment == "" || segment == "." || segment == "..") {
			s.fail(w, r, problem{code: "bad-path", detail: `the path has an empty, "." or ".." segment`})
			return
		}
	}
	s.fail(w, r, problem{code: "not-found", detail: "there is nothing at this path"})
}
