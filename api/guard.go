package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"tidings/internal/auth"
	"tidings/store"
)

// access says who may call an endpoint, and which checks come before it. All but probe and open
// take a valid token.
type access int

const (
	_          access = iota
	probe             // everybody, by any Host: a health check may use an address
	open              // everybody
	anyToken          // every valid token
	publishing        // a valid token; the handler knows the topics, and asks its grant about them
	reading           // the same
	listing           // as reading; what it lists may be long, so the answer is compressed
	admin             // a valid token that grants administration
	scraping          // as admin, by any Host: Prometheus may use an address
	// as reading; the token may stand in the query where Options.AllowQueryToken says so, since
	// EventSource sets no headers
	streaming
)

// caller is who a request comes from.
type caller struct {
	grant auth.Grant
	owner ownerHash
}

// visit is a request that may be made: who it comes from, and the memory it takes.
type visit struct {
	*caller
	body, answer, packer share
}

type visitKey struct{}

// newVisit begins a visit, whose shares its end gives back.
func (s *Server) newVisit(c *caller) *visit {
	return &visit{c, share{budget: s.bodies, owner: c.owner},
		share{budget: s.answers, owner: c.owner},
		share{budget: s.answers, owner: c.owner, spare: true}}
}

func (v *visit) end() {
	v.body.set(0)
	v.answer.set(0)
	v.packer.set(0)
}

// visitOf returns the visit of a guarded request; nil if it was not guarded.
func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

// callerOf returns who a guarded request comes from; one that was not guarded may do nothing.
func callerOf(r *http.Request) *caller {
	if v := visitOf(r); v != nil {
		return v.caller
	}
	return &caller{}
}

// grantOf returns what the caller of a guarded request may do.
func grantOf(r *http.Request) auth.Grant { return callerOf(r).grant }

// authorisePublish refuses a publish to any topic that the caller's grant does not cover. The
// answer is the same whether the topic exists or not.
func authorisePublish(r *http.Request, topics ...string) *problem {
	c := callerOf(r)
	for _, topic := range topics {
		if !c.grant.Publish.Match(topic) {
			return &problem{code: "topic-forbidden", field: "topic",
				detail: fmt.Sprintf("the token does not grant publishing to %s", topic)}
		}
	}
	return nil
}

// authoriseSubscribe refuses to read patterns of which one is not covered by a pattern of the
// caller's grant.
func authoriseSubscribe(r *http.Request, asked store.Filter) *problem {
	grant := callerOf(r).grant.Subscribe
	if patterns := asked.Patterns(); len(patterns) == 0 || !grant.Covers(asked) {
		return &problem{code: "topic-forbidden", field: "topic",
			detail: strings.TrimSpace("the token does not grant reading " +
				strings.Join(patterns, " "))}
	}
	return nil
}

// guard puts the checks of an endpoint's access, and of its parameters, before its handler. What
// is written of an answer is timed.
func (s *Server) guard(e endpoint) http.HandlerFunc {
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
	return func(w http.ResponseWriter, r *http.Request) {
		c, p := s.admit(r, e.access)
		if c != nil && e.access != open && e.access != probe {
			s.rates[e.access].tell(w.Header(), bucketKey{owner: c.owner}, s.o.Now())
		}
		answer := &timedWriter{w, s.newOutlet(w, r)}
		defer answer.out.close()
		switch {
		case p == nil:
			v := s.newVisit(c)
			defer v.end()
			if end := s.tokenEnd(c.grant); e.access == listing && !end.IsZero() {
				answer.out.endBy(end.Add(stalledAfter)) // for what waited until then
			}
			serve(answer, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
		case e.access == streaming && (p.code == "rate-limited" || p.code == "keys-unavailable"):
			s.turnAway(answer, r, byeOverloaded)
		default:
			s.refuse(answer, r, e.access, p)
		}
	}
}

// refuse answers with p. A refused publish is counted, and its answer says what became of the
// events: nothing was stored, unless the log has said otherwise.
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
	// Before the token, so that guessing one is limited too.
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
