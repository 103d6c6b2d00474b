package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tidings/alert"
	"tidings/deliver"
	"tidings/store"
)

// ruleBody is a rule in a response.
type ruleBody struct {
	Name string `json:"name"`
	Tag  string `json:"tag"`
	ruleSettings
	From      store.ID  `json:"from"`
	CreatedBy string    `json:"created_by"`
	Created   time.Time `json:"created"`
	Open      int       `json:"open"`
	More      int       `json:"more"`

	Unheard   *time.Time `json:"unheard_since"`
	SignedOff *time.Time `json:"signed_off_until"`
}

// ruleSettings are the members of a rule that a client sets.
type ruleSettings struct {
	Topics      []string     `json:"topics"`
	Types       []string     `json:"types"`
	MinSeverity int          `json:"min_severity"`
	Hours       *alert.Hours `json:"hours"`
	Always      bool         `json:"always"`
	Steps       []stepBody   `json:"steps"`
	MutedUntil  *time.Time   `json:"muted_until"`

	UnheardAfter *float64 `json:"unheard_after_seconds"` // 0: never
}

type stepBody struct {
	After    float64 `json:"after_seconds"`
	Delivery string  `json:"delivery,omitempty"`
	Push     bool    `json:"push,omitzero"`
}

func newRuleBody(r *alert.RuleStatus) ruleBody {
	after := max(0, r.UnheardDelay()).Seconds()
	b := ruleBody{Name: r.Name, Tag: r.Tag, From: r.From, CreatedBy: r.By, Created: r.Created, Open: r.Open,
		More: r.More, Unheard: timeOrNull(r.Unheard), SignedOff: timeOrNull(r.SignedOff),
		ruleSettings: ruleSettings{Topics: r.Topics, Types: append([]string{}, r.Types...), MinSeverity: r.MinSeverity,
			Hours: r.Hours, Always: r.Always, Steps: []stepBody{}, MutedUntil: timeOrNull(r.MutedUntil),
			UnheardAfter: &after}}
	for _, s := range r.Steps {
		b.Steps = append(b.Steps, stepBody{s.After.Seconds(), s.Delivery, s.Push})
	}
	return b
}

// listRules serves GET /v1/alerts.
func (s *Server) listRules(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	body := struct {
		Rules []ruleBody `json:"rules"`
		Held  bool       `json:"held"`
	}{Rules: []ruleBody{}, Held: boardOf(r).Stats().Held}
	for _, r := range boardOf(r).Rules() {
		body.Rules = append(body.Rules, newRuleBody(&r))
	}
	writeJSON(w, http.StatusOK, "application/json", body)
	return nil
}

// resumeAlerts serves POST /v1/alerts?all=resume.
func (s *Server) resumeAlerts(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	if query.Get("all") != "resume" {
		return &problem{code: "query-invalid", field: "all", detail: "expected ?all=resume"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	if err := boardOf(r).Resume(ctx); err != nil {
		return alertProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Held bool `json:"held"`
	}{})
	return nil
}

// getRule serves GET /v1/alerts/{name}.
func (s *Server) getRule(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	rule, err := boardOf(r).GetRule(name)
	if err != nil {
		return alertProblem(err)
	}
	writeRule(w, http.StatusOK, &rule)
	return nil
}

func writeRule(w http.ResponseWriter, status int, rule *alert.RuleStatus) {
	w.Header().Set("ETag", `"`+rule.Tag+`"`)
	writeJSON(w, status, "application/json", newRuleBody(rule))
}

// putRule serves PUT /v1/alerts/{name}. Members that its body leaves out are removed.
func (s *Server) putRule(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	tag, p := settingsTagOf(r)
	if p != nil {
		return p
	}
	var body ruleSettings
	if p := s.decodeBody(w, r, maxSettings, &body, false); p != nil {
		return p
	}
	set := alert.Rule{Topics: body.Topics, Types: body.Types, MinSeverity: body.MinSeverity, Hours: body.Hours,
		Always: body.Always}
	if body.MutedUntil != nil {
		set.MutedUntil = body.MutedUntil.UTC()
	}
	if p := body.readUnheardAfter(&set); p != nil {
		return p
	}
	filter, err := store.NewFilter(body.Topics...)
	if err == nil && !filter.IsZero() {
		if p := authoriseSubscribe(r, filter); p != nil {
			return p
		}
	}
	for i, step := range body.Steps {
		if p := checkStep(r, i, step, filter); p != nil {
			return p
		}
		set.Steps = append(set.Steps, alert.Step{After: time.Duration(step.After * float64(time.Second)),
			Delivery: step.Delivery, Push: step.Push})
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	rule, made, err := boardOf(r).Put(ctx, name, set, grantOf(r).Subject, tag)
	if err != nil {
		return alertProblem(err)
	}
	status := map[bool]int{true: http.StatusCreated, false: http.StatusOK}[made]
	writeRule(w, status, &rule)
	return nil
}

// checkStep refuses a step whose delivery does not exist, or does not carry the steps of these topics, and a push on
// a server that sends none: it would end in silence.
func checkStep(r *http.Request, i int, step stepBody, topics store.Filter) *problem {
	field := fmt.Sprintf("steps[%d]", i)
	if !(step.After >= 0 && step.After <= maxSeconds) {
		return badSeconds(field)
	}
	switch {
	case step.Push && step.Delivery != "":
		return &problem{code: "member-invalid", field: field, detail: `expected "delivery" or "push", not both`}
	case step.Push && deskOf(r).Devices == nil:
		return &problem{code: "member-invalid", field: field, detail: "this server sends no pushes; serve with " +
			"--push-contact mailto:ops@example.com to enable them"}
	case step.Push:
		return nil
	case step.Delivery == "":
		return &problem{code: "member-invalid", field: field, detail: `expected "delivery", or "push": true`}
	}
	var d deliver.Status
	err := deliver.ErrNotFound
	if sender := senderOf(r); sender != nil {
		d, err = sender.Get(step.Delivery)
	}
	if err != nil {
		return &problem{code: "member-invalid", field: field,
			detail: fmt.Sprintf("no delivery %.64q; create it first", step.Delivery)}
	}
	for _, p := range topics.Patterns() {
		answers, err := store.NewFilter("$alerts." + p)
		if err == nil && !d.Filter().Covers(answers) {
			return &problem{code: "member-invalid", field: field, detail: fmt.Sprintf(
				"delivery %.64q does not carry $alerts.%s; add it to its topics", step.Delivery, p)}
		}
	}
	return nil
}

// deleteRule serves DELETE /v1/alerts/{name}.
func (s *Server) deleteRule(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	name, p := markName(r)
	if p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	if err := boardOf(r).DeleteRule(ctx, name); err != nil {
		return alertProblem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readUnheardAfter reads how long nobody would hear the rule's alerts before that is reported.
func (b *ruleSettings) readUnheardAfter(set *alert.Rule) *problem {
	const member = "unheard_after_seconds"
	switch {
	case b.UnheardAfter == nil:
	case *b.UnheardAfter == 0:
		set.UnheardAfter = -1
	case !(*b.UnheardAfter >= 1 && *b.UnheardAfter <= maxSeconds):
		return &problem{code: "member-invalid", field: member, detail: "expected a number of seconds, 1 at least, or 0 for never"}
	default:
		set.UnheardAfter = time.Duration(*b.UnheardAfter * float64(time.Second))
	}
	return nil
}

// heardBody is a rule as shown to callers who may read all of its topics.
type heardBody struct {
	Name      string     `json:"name"`
	Unheard   *time.Time `json:"unheard_since"`
	SignedOff *time.Time `json:"signed_off_until"`
	Hours     bool       `json:"has_hours"`
	Steps     bool       `json:"has_steps"`
}

func newHeardBody(r *alert.RuleStatus) heardBody {
	return heardBody{r.Name, timeOrNull(r.Unheard), timeOrNull(r.SignedOff), r.Rule.Hours != nil, len(r.Steps) > 0}
}

// signBody is the body of a sign-off, or of signing on again.
type signBody struct {
	Name    string  `json:"name"`
	Device  string  `json:"device"`
	Note    string  `json:"note"`
	Seconds float64 `json:"seconds"` // 0: until the next opening
}

// signing serves POST and DELETE /v1/alerts/{name}/sign-off for those who may answer the rule's alerts. A caller who
// may not read all of its topics gets the response for a rule that does not exist.
func (s *Server) signing(sign func(b *alert.Board, ctx context.Context, name string,
	answer alert.Answer) (alert.RuleStatus, error)) handler {
	return func(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
		name, p := markName(r)
		if p != nil {
			return p
		}
		var body signBody
		if p := s.decodeBody(w, r, maxAnswerBody, &body, true); p != nil {
			return p
		}
		if !(body.Seconds >= 0 && body.Seconds <= maxSeconds) {
			return badSeconds("seconds")
		}
		grant := grantOf(r)
		rule, err := boardOf(r).GetRule(name)
		if err != nil {
			return alertProblem(err)
		}
		topics, err := store.NewFilter(rule.Topics...)
		switch {
		case err != nil || !grant.Reads(topics):
			return alertProblem(alert.ErrRuleNotFound) // as if it did not exist
		case !grant.Answer.Covers(topics):
			return &problem{code: "topic-forbidden", field: "topic",
				detail: "the token does not grant answering the alerts of " + topics.String()}
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
		defer cancel()
		by := alert.Holder{Subject: grant.Subject, Device: body.Device, Name: body.Name}
		rule, err = sign(boardOf(r), ctx, name, alert.Answer{By: by, Note: body.Note,
			For: time.Duration(body.Seconds * float64(time.Second))})
		if err != nil {
			return alertProblem(err)
		}
		writeJSON(w, http.StatusOK, "application/json", newHeardBody(&rule))
		return nil
	}
}
