package api

import (
	"net/http"
	"net/url"
	"time"

	"tidings/internal/presence"
)

// maxReport bounds the body of a report.
const maxReport = 1 << 10

// reportBody is what a page reports about itself.
type reportBody struct {
	Visible *bool `json:"visible"`
	Allowed *bool `json:"allowed"`
	Armed   *bool `json:"armed"` // null: the page has no alarm
}

// hearingBody is a report in the list of subscribers, and the server's conclusion from it.
type hearingBody struct {
	Visible bool             `json:"visible"`
	Allowed bool             `json:"allowed"`
	Armed   *bool            `json:"armed"`
	At      time.Time        `json:"at"`
	State   presence.Hearing `json:"state"`
}

// reportState serves PUT /v1/subscribers/{id}/state: what the page that holds this stream can do. The stream must be
// the caller's; another's is not found. Nothing of it is stored: it ends with the stream.
func (s *Server) reportState(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	var body reportBody
	if p := s.decodeBody(w, r, maxReport, &body, false); p != nil {
		return p
	}
	switch {
	case body.Visible == nil:
		return noBool("visible")
	case body.Allowed == nil:
		return noBool("allowed")
	}
	c, id := callerOf(r), variableOf(r)
	report := pageReport{c.grant.Owner(), *body.Visible, *body.Allowed, body.Armed}
	switch {
	case s.reportOwn(id, c.owner, &report):
		w.WriteHeader(http.StatusNoContent)
		return nil
	case s.o.Nodes != nil && len(id) == subscriberIDSize:
		return s.findElsewhere(w, r, &nodeQuestion{Ask: askReport, ID: id, Report: &report})
	}
	return noSubscriber()
}

// pageReport is what a page reports about itself, and whose it is.
type pageReport struct {
	Owner   string `json:"owner"` // auth.Grant.Owner
	Visible bool   `json:"visible"`
	Allowed bool   `json:"allowed"`
	Armed   *bool  `json:"armed"`
}

// reportOwn records what the page of a stream of this server can do, if its owner has such a stream.
func (s *Server) reportOwn(id string, owner ownerHash, r *pageReport) bool {
	v, ok := s.subscribers.byID.Load(id)
	return ok && v.(*subscriber).owner == owner && v.(*subscriber).report(s.o.Presence, r.Owner,
		presence.State{Visible: r.Visible, Allowed: r.Allowed, Armed: r.Armed})
}

func noBool(member string) *problem {
	return &problem{code: "member-invalid", field: member, detail: "expected true or false"}
}

// report records what the page of the stream can do, unless the stream has ended.
func (x *subscriber) report(to *presence.Registry, owner string, state presence.State) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return false
	}
	if x.page == nil {
		x.page = to.Open(owner, x.filter)
	}
	x.page.Report(state)
	return true
}

// leave is called when the stream has ended.
func (x *subscriber) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = true
	if x.page != nil {
		x.page.Close()
	}
}

// hearing returns the last report; nil if there was none.
func (x *subscriber) hearing() *hearingBody {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.page == nil {
		return nil
	}
	state, at, hearing := x.page.Look()
	return &hearingBody{state.Visible, state.Allowed, state.Armed, at.UTC(), hearing}
}
