package api

import (
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"tidings/internal/auth"
	"tidings/replay"
)

// Codes returns the table of errors: the status of each code.
func Codes() map[string]int {
	codes := make(map[string]int)
	for code, k := range kinds {
		codes[code] = k.status
	}
	return codes
}

// Script is a stream's script, for tests that drive it.
type Script struct{ script *script }

// ScriptStep is a step of a Script.
type ScriptStep struct {
	Frames   [][]byte
	Events   int
	Gap      *replay.Gap // in Frames
	End      error
	Until    time.Time
	ReadsLog bool
}

// NewScript returns the script of a stream of sub, as the handler makes it.
func (s *Server) NewScript(sub *replay.Subscription, g auth.Grant) (*Script, error) {
	first, err := sub.Next()
	if err != nil {
		return nil, err
	}
	script, err := s.newScript(sub, first, g)
	return &Script{&script}, err
}

// Refusal returns the script of a stream that is turned away.
func Refusal(retry int) *Script { return &Script{refusal(retry)} }

// Next returns the next step.
func (c *Script) Next(now time.Time, cut error) ScriptStep {
	st := c.script.next(now, cut)
	return ScriptStep{st.frames, st.events, st.gap, st.end, st.until, st.readsLog}
}

// The reasons to end a stream that come from outside its script.
var (
	ByeShutdown     error = byeShutdown
	ByeDisconnected error = byeDisconnected
	ByeOverloaded   error = byeOverloaded
)

// Found is what a path leads to: the path of its route, and the variable in it.
type Found struct{ Route, Variable string }

// Find returns what the short way of a request leads to, if it has one, and what the router finds.
func (s *Server) Find(r *http.Request) (short, router *Found) {
	f := s.handler.(*front)
	for _, way := range f.short {
		if variable, ok := way.match(r.URL.EscapedPath()); ok {
			short = &Found{way.path, variable}
			break
		}
	}
	var match mux.RouteMatch
	if f.rest.(*mux.Router).Match(r, &match) && match.MatchErr == nil {
		path, _ := match.Route.GetPathTemplate()
		router = &Found{Route: path}
		for _, router.Variable = range match.Vars {
		}
	}
	return short, router
}
