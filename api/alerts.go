package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings/alert"
	"tidings/internal/wire"
	"tidings/store"
)

// alertBody is an alert in a response.
type alertBody struct {
	ID      store.ID      `json:"id"`
	Topic   string        `json:"topic"`
	Type    string        `json:"type"`
	Rules   []string      `json:"rules"`
	Since   time.Time     `json:"since"`
	State   alert.State   `json:"state"`
	Rings   bool          `json:"rings"`
	Holder  *alert.Holder `json:"holder"`
	Handle  *store.ID     `json:"handle"`
	Changed *time.Time    `json:"changed"`
	Until   *time.Time    `json:"until"`
	Step    int           `json:"step"`
	Due     *time.Time    `json:"due"`
}

func newAlertBody(a *alert.Alert) alertBody {
	return alertBody{a.ID, a.Topic, a.Type, append([]string{}, a.Rules...), a.Since, a.State, a.Rings, a.Holder,
		idOrNull(a.Handle), timeOrNull(a.Changed), timeOrNull(a.Until), a.Step, timeOrNull(a.Due)}
}

const (
	// alertsAtOnce is the length of a list of open alerts without ?limit=, and maxAlertsAtOnce the largest ?limit=.
	alertsAtOnce    = 100
	maxAlertsAtOnce = 1000

	// maxAnswerBody bounds the body of an answer to an alert.
	maxAnswerBody = 16 << 10
)

func (s *Server) alertRoutes() []route {
	none := params{}
	listed := params{single: []string{"after", "limit", "done"}, repeated: []string{"topic"}}
	return []route{
		{"/v1/open", methods{"GET": {reading, listed, s.alerting(s.listOpen)}}},
		{"/v1/events/{id}/claim", methods{"POST": {reading, none, s.answering(s.claim)}}},
		{"/v1/events/{id}/release", methods{"POST": {reading, none, s.answering(ofClaim((*alert.Board).Release))}}},
		{"/v1/events/{id}/done", methods{"POST": {reading, none, s.answering(ofClaim((*alert.Board).Done))}}},
		{"/v1/events/{id}/hand-over", methods{"POST": {reading, none, s.answering(ofClaim((*alert.Board).HandOver))}}},
		{"/v1/events/{id}/undo", methods{"POST": {reading, none, s.answering(ofClaim((*alert.Board).Undo))}}},
		{"/v1/events/{id}/snooze", methods{"POST": {reading, none, s.answering(snooze)}}},
		{"/v1/alerts", methods{"GET": {admin, none, s.alerting(s.listRules)},
			"POST": {admin, params{single: []string{"all"}}, s.alerting(s.resumeAlerts)}}},
		{"/v1/alerts/{name}", methods{"GET": {admin, none, s.alerting(s.getRule)},
			"PUT": {admin, none, s.alerting(s.putRule)}, "DELETE": {admin, none, s.alerting(s.deleteRule)}}},
		{"/v1/alerts/{name}/sign-off", methods{"POST": {reading, none, s.alerting(s.signing((*alert.Board).SignOff))},
			"DELETE": {reading, none, s.alerting(s.signing((*alert.Board).SignOn))}}},
	}
}

// alerting wraps a handler for servers that have alerts.
func (s *Server) alerting(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
		return s.atDesk(w, r, func(d *Desk) *problem {
			if d.Alerts == nil {
				return &problem{code: "not-found", detail: "this server has no alerts"}
			}
			return h(w, r, query)
		})
	}
}

// listOpen serves GET /v1/open: the open alerts of the topics that the caller may read.
func (s *Server) listOpen(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	filter, p := s.parseFilter(r, query["topic"])
	if p != nil {
		return p
	}
	limit := alertsAtOnce
	if text := query.Get("limit"); query.Has("limit") {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxAlertsAtOnce {
			return &problem{code: "query-invalid", field: "limit",
				detail: fmt.Sprintf("expected a number from 1 to %d", maxAlertsAtOnce)}
		}
	}
	done := query.Get("done") == "true"
	if query.Has("done") && !done {
		return &problem{code: "query-invalid", field: "done", detail: "expected ?done=true, or nothing"}
	}
	var after store.ID
	if query.Has("after") {
		if after, p = queryID("after", query.Get("after")); p != nil {
			return p
		}
	}
	list, err := boardOf(r).List(filter, done, after, limit+1)
	if err != nil {
		return storeProblem(err)
	}
	return s.writeOpen(w, r, &list, limit)
}

// writeOpen answers a list of open alerts. It has one more than the limit if there is a next page.
func (s *Server) writeOpen(w http.ResponseWriter, r *http.Request, list *alert.List, limit int) *problem {
	body := struct {
		Alerts []alertBody `json:"alerts"`
		Next   *store.ID   `json:"next"`
		Open   int         `json:"open"`
		More   int         `json:"more"`
		Held   bool        `json:"held"`
		Rules  []heardBody `json:"rules"`
	}{[]alertBody{}, nil, list.Open, list.More, list.Held, []heardBody{}}
	if len(list.Alerts) > limit {
		list.Alerts = list.Alerts[:limit]
		body.Next = &list.Alerts[limit-1].ID
	}
	for i := range list.Rules {
		body.Rules = append(body.Rules, newHeardBody(&list.Rules[i]))
	}
	for i := range list.Alerts {
		body.Alerts = append(body.Alerts, newAlertBody(&list.Alerts[i]))
	}
	if !visitOf(r).answer.set(int64(len(body.Alerts)+len(body.Rules)) * rowBytes) {
		return memoryFull()
	}
	writeJSON(w, http.StatusOK, "application/json", body)
	return nil
}

// answerer serves an answer to an alert. It reports whether it made a claim.
type answerer func(ctx context.Context, board *alert.Board, r *http.Request, id store.ID,
	answer alert.Answer) (a alert.Alert, made bool, err error)

// answerBody is the body of an answer to an alert.
type answerBody struct {
	Name    string       `json:"name"`
	Device  string       `json:"device"`
	Note    string       `json:"note"`
	Force   bool         `json:"force"`
	Seconds float64      `json:"seconds"`
	To      alert.Holder `json:"to"`
}

// answering serves POST /v1/events/{id}/… for those who may answer. A caller who may not read the event gets the
// response for an alert that does not exist.
func (s *Server) answering(do answerer) handler {
	return s.alerting(func(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
		text, err := url.PathUnescape(variableOf(r))
		var id store.ID
		if err == nil {
			id, err = store.ParseID(text)
		}
		if err != nil {
			return &problem{code: "id-invalid", field: "id", detail: err.Error()}
		}
		var body answerBody
		if p := s.decodeBody(w, r, maxAnswerBody, &body, true); p != nil {
			return p
		}
		grant := grantOf(r)
		answer := alert.Answer{By: alert.Holder{Subject: grant.Subject, Device: body.Device, Name: body.Name},
			Note: body.Note, Force: body.Force, To: body.To, For: time.Duration(body.Seconds * float64(time.Second))}
		found, err := boardOf(r).Get(id)
		if err == nil && !grant.ReadsTopic(found.Topic) {
			err = alert.ErrNotFound // as if it did not exist
		}
		if err != nil {
			return alertProblem(err)
		}
		if !grant.Answer.Match(found.Topic) {
			return &problem{code: "topic-forbidden", field: "topic",
				detail: "the token does not grant answering the alerts of " + found.Topic}
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
		defer cancel()
		a, made, err := do(ctx, boardOf(r), r, id, answer)
		if err != nil {
			return alertProblem(err)
		}
		if !a.Handle.IsZero() {
			w.Header().Set("ETag", entityTag(a.Handle))
		}
		writeJSON(w, map[bool]int{true: http.StatusCreated, false: http.StatusOK}[made], "application/json",
			newAlertBody(&a))
		return nil
	})
}

// claim serves POST /v1/events/{id}/claim.
func (s *Server) claim(ctx context.Context, board *alert.Board, _ *http.Request, id store.ID,
	answer alert.Answer) (alert.Alert, bool, error) {
	return board.Claim(ctx, id, answer)
}

// snooze serves POST /v1/events/{id}/snooze.
func snooze(ctx context.Context, board *alert.Board, _ *http.Request, id store.ID,
	answer alert.Answer) (alert.Alert, bool, error) {
	a, err := board.Snooze(ctx, id, answer)
	return a, false, err
}

// errNoHandle refuses an answer that does not name the claim it is about.
var errNoHandle = errors.New("no If-Match")

// ofClaim serves an answer about the claim that If-Match names.
func ofClaim(do func(b *alert.Board, ctx context.Context, id store.ID,
	answer alert.Answer) (alert.Alert, error)) answerer {
	return func(ctx context.Context, board *alert.Board, r *http.Request, id store.ID,
		answer alert.Answer) (alert.Alert, bool, error) {
		handle, _, p := conditionOf(r)
		if p != nil || handle == nil || handle.IsZero() {
			return alert.Alert{}, false, errNoHandle
		}
		answer.Handle = *handle
		a, err := do(board, ctx, id, answer)
		return a, false, err
	}
}

// decodeBody reads a JSON object into a struct, whose members are the only ones allowed. A null member counts as
// absent.
func (s *Server) decodeBody(w http.ResponseWriter, r *http.Request, max int64, into any, optional bool) *problem {
	text, p := s.readBody(w, r, max)
	if p != nil || optional && len(bytes.TrimSpace(text)) == 0 {
		return p
	}
	if _, err := wire.ParseObject(text); err != nil {
		return wireProblem(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind):
		return &problem{code: "member-invalid", field: kind.Field,
			detail: fmt.Sprintf("expected %s, got %s", kind.Type.Kind(), kind.Value)}
	}
	return &problem{code: "member-invalid", detail: strings.TrimPrefix(err.Error(), "json: ")}
}

// alertProblem is storeProblem, worded for alerts.
func alertProblem(err error) *problem {
	var invalid *alert.InvalidError
	var taken *alert.TakenError
	var stale *alert.StaleError
	switch {
	case errors.As(err, &invalid):
		return &problem{code: "member-invalid", field: invalid.Field, detail: invalid.Detail}
	case errors.As(err, &taken):
		return &problem{code: "alert-claimed", detail: taken.Error(), holder: &taken.Holder,
			current: idOrNull(taken.Handle)}
	case errors.As(err, &stale):
		return &problem{code: "condition-failed", field: "If-Match", current: idOrNull(stale.Current),
			detail: "the alert has a newer answer; reload it and decide again"}
	case errors.Is(err, errNoHandle):
		return &problem{code: "condition-invalid", field: "If-Match",
			detail: `expected one quoted ID: the alert's "handle", which names the answer that this one follows`}
	case errors.Is(err, alert.ErrNotFound):
		return &problem{code: "alert-not-found", detail: "no alert with this ID is open or was recently done"}
	case errors.Is(err, alert.ErrDone):
		return &problem{code: "alert-closed", detail: "the alert is done"}
	case errors.Is(err, alert.ErrNotDone):
		return &problem{code: "alert-open", detail: "the alert is not done: there is nothing to undo"}
	case errors.Is(err, alert.ErrRuleNotFound):
		return &problem{code: "alert-rule-not-found", detail: "no alert rule has this name"}
	case errors.Is(err, alert.ErrRuleChanged):
		return &problem{code: "condition-failed", field: "If-Match",
			detail: "the rule was changed, created or deleted meanwhile; reload it and decide again"}
	case errors.Is(err, alert.ErrLimit):
		return &problem{code: "alert-rule-quota", detail: err.Error()}
	}
	return storeProblem(err)
}
