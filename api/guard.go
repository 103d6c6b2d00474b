package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"tidings/internal/auth"
	"tidings/store"
)

// access is who may call an endpoint, and which checks come first. All but probe and open require a valid token.
type access int

const (
	_          access = iota
	probe             // everyone, with any Host: a health check may use an address
	open              // everyone
	anyToken          // any valid token
	publishing        // a valid token; the handler knows the topics, and checks them against the grant
	reading           // the same
	listing           // like reading; the list may be long, so the response is compressed
	admin             // a valid token that grants administration
	scraping          // like admin, with any Host: Prometheus may use an address
	// like reading; the token may be in the query where Options.AllowQueryToken permits it, since EventSource sets no
	// headers
	streaming
)

// caller is who a request comes from.
type caller struct {
	grant auth.Grant
	owner ownerHash
}

// visit is a request being served: who it comes from, what its path names, the memory it holds. It is the context of
// its request, and all of its own that the server needs for most of them: one allocation.
type visit struct {
	context.Context // of net/http
	*caller
	desk                 *Desk  // that serves the request, if it needs one
	variable             string // in the path, as sent; "" if there is none
	body, answer, packer share

	writer   timedWriter
	out      outlet
	reading  body           // the request's body
	groups   [1]store.Group // to publish, if that is one event
	drafts   [1]store.Draft // of groups
	location [1]string      // of the response
}

type visitKey struct{}

// Value implements context.Context.
func (v *visit) Value(key any) any {
	if key == (visitKey{}) {
		return v
	}
	return v.Context.Value(key)
}

// newVisit starts a visit, whose response is timed. end gives back what it holds.
func (s *Server) newVisit(w http.ResponseWriter, r *http.Request, variable string) *visit {
	v := &visit{Context: r.Context(), variable: variable}
	v.out.open(s, w, r)
	v.writer = timedWriter{w, &v.out}
	return v
}

// admitted is called when the caller is known.
func (v *visit) admitted(s *Server, c *caller) {
	v.caller = c
	v.body = share{budget: s.bodies, owner: c.owner}
	v.answer = share{budget: s.answers, owner: c.owner}
	v.packer = share{budget: s.answers, owner: c.owner, spare: true}
}

func (v *visit) end() {
	if v.caller != nil {
		v.body.set(0)
		v.answer.set(0)
		v.packer.set(0)
	}
	v.out.close()
}

// visitOf returns the visit of a guarded request; nil if it was not guarded.
func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

// variableOf returns the variable in the path of a guarded request, as it was sent.
func variableOf(r *http.Request) string { return visitOf(r).variable }

// callerOf returns who a guarded request comes from; a request that was not guarded may do nothing.
func callerOf(r *http.Request) *caller {
	if v := visitOf(r); v != nil {
		return v.caller
	}
	return &caller{}
}

// grantOf returns what the caller of a guarded request may do.
func grantOf(r *http.Request) auth.Grant { return callerOf(r).grant }

// authorisePublish refuses to publish to any topic that is reserved, or not covered by the caller's grant. The
// response is the same whether the topic exists or not.
func authorisePublish(r *http.Request, topics ...string) *problem {
	c := callerOf(r)
	for _, topic := range topics {
		if p := refuseReserved(topic); p != nil {
			return p
		}
		if !c.grant.Publish.Match(topic) {
			return &problem{code: "topic-forbidden", field: "topic",
				detail: fmt.Sprintf("the token does not grant publishing to %s", topic)}
		}
	}
	return nil
}

// refuseReserved refuses to change a reserved topic, whoever asks.
func refuseReserved(topic string) *problem {
	if !store.IsReserved(topic) {
		return nil
	}
	return &problem{code: "topic-reserved", field: "topic",
		detail: fmt.Sprintf("only the server itself writes to %s", topic)}
}

// authoriseSubscribe refuses to read unless each pattern is covered by a pattern of the caller's grant.
func authoriseSubscribe(r *http.Request, asked store.Filter) *problem {
	if !callerOf(r).grant.Reads(asked) {
		return &problem{code: "topic-forbidden", field: "topic",
			detail: strings.TrimSpace("the token does not grant reading " + asked.String())}
	}
	return nil
}

// guarded serves a request for a path with this variable.
type guarded func(w http.ResponseWriter, r *http.Request, variable string)

// guard puts the checks of an endpoint's access and parameters before its handler. Writing the response is timed.
func (s *Server) guard(e endpoint) guarded {
	limit := s.rates[e.access]
	serve := func(w http.ResponseWriter, r *http.Request) {
		query, p := e.params.parse(r)
		if p == nil {
			p = e.handle(w, r, query)
		}
		if p != nil {
			s.refuse(w, r, e.access, p)
		}
	}
	if e.access == listing {
		serve = compressed(serve)
	}
	return func(w http.ResponseWriter, r *http.Request, variable string) {
		c, p := s.admit(r, e.access)
		if limit != nil && c != nil && e.access != open && e.access != probe {
			limit.tell(w.Header(), bucketKey{owner: c.owner}, s.o.Now())
		}
		v := s.newVisit(w, r, variable)
		defer v.end()
		answer := &v.writer
		switch {
		case p == nil:
			v.admitted(s, c)
			if end := s.tokenEnd(c.grant); e.access == listing && !end.IsZero() {
				answer.out.endBy(end.Add(stalledAfter)) // for what waited until then
			}
			serve(answer, r.WithContext(v))
		case e.access == streaming && (p.code == "rate-limited" || p.code == "keys-unavailable"):
			s.turnAway(answer, r, byeOverloaded)
		default:
			s.refuse(answer, r, e.access, p)
		}
	}
}

// refuse answers with p. A refused publish is counted, and the response says what became of the events: nothing was
// stored, unless the log said otherwise.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, a access, p *problem) {
	if a == publishing {
		if p.outcome == "" {
			p.outcome = notStored
		}
		if !p.left() {
			s.metrics.refused(p.code)
		}
	}
	s.fail(w, r, p)
}

func (s *Server) admit(r *http.Request, a access) (*caller, *problem) {
	if p := s.checkForwarded(r); p != nil {
		return nil, p
	}
	if a == probe {
		return &caller{}, nil
	}
	if a != scraping {
		if p := s.checkHost(r); p != nil {
			return nil, p
		}
	}
	if p := s.checkOrigin(r, a); p != nil {
		return nil, p
	}
	// Before the token is checked, so that guessing tokens is limited too.
	if p := s.limitAddress(r, a); p != nil {
		return nil, p
	}
	if a == open {
		return &caller{}, nil
	}
	c, p := s.authenticate(r, a)
	if p != nil {
		return nil, p
	}
	if (a == admin || a == scraping) && !c.grant.Admin {
		return nil, &problem{code: "admin-required", detail: `the token does not say "admin": true`}
	}
	return c, s.limitOwner(c, a)
}
