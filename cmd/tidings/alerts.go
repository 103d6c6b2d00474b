package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings/store"
)

// alertsCmd manages and answers alerts.
type alertsCmd struct {
	List    alertsListCmd    `cmd:"" help:"List open alerts, oldest first, and who has claimed them."`
	Claim   alertsClaimCmd   `cmd:"" help:"Claim an alert. Of several concurrent claims, one wins."`
	Release alertsReleaseCmd `cmd:"" help:"Release a claimed alert."`
	Done    alertsDoneCmd    `cmd:"" help:"Close a claimed alert."`
	Rules   alertsRulesCmd   `cmd:"" help:"List the rules: which events raise alerts, and how they escalate."`
	Put     alertsPutCmd     `cmd:"" help:"Create or replace a rule."`
	Mute    alertsMuteCmd    `cmd:"" help:"Mute a rule for a while."`
	SignOff alertsSignOffCmd `cmd:"" help:"Sign off from a rule: no warning that nobody is listening until its hours begin again."`
	Delete  alertsDeleteCmd  `cmd:"" help:"Delete a rule. Alerts that only it raised expire."`
	Resume  alertsResumeCmd  `cmd:"" help:"Resume escalation on a restored log."`
}

// alertInfo is an alert as the server reports it.
type alertInfo struct {
	ID     string    `json:"id"`
	Topic  string    `json:"topic"`
	Type   string    `json:"type"`
	Since  time.Time `json:"since"`
	State  string    `json:"state"`
	Handle string    `json:"handle"`
	Step   int       `json:"step"`
	Holder *struct {
		Subject string `json:"subject"`
		Device  string `json:"device"`
		Name    string `json:"name"`
	} `json:"holder"`
}

func (a *alertInfo) print(app *app) error {
	who := ""
	if h := a.Holder; h != nil {
		who = " by " + printable(strings.Join(strings.Fields(h.Name+" "+h.Subject+" "+h.Device), ", "))
	}
	steps := ""
	if a.Step > 0 {
		steps = fmt.Sprintf(", %d steps fired", a.Step)
	}
	return app.print("%s %s %s of %s: %s%s%s", a.ID, a.Topic, a.Type, a.Since.Format(time.RFC3339), a.State, who, steps)
}

// openInfo is a page of open alerts as the server reports it.
type openInfo struct {
	Alerts []alertInfo `json:"alerts"`
	Next   store.ID    `json:"next"` // zero on the last page
	More   int         `json:"more"`
	Held   bool        `json:"held"`
}

// open returns the open alerts above an ID, at most limit.
func (c *client) open(ctx context.Context, app *app, after store.ID, limit int) (page openInfo, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if !after.IsZero() {
		query.Set("after", after.String())
	}
	err = c.exchange(ctx, app, http.MethodGet, query, nil, nil, &page, "v1", "open")
	return page, err
}

type alertsListCmd struct{ client }

func (c *alertsListCmd) Run(ctx context.Context, app *app) error {
	var after store.ID
	for {
		page, err := c.open(ctx, app, after, 1000)
		if err != nil {
			return err
		}
		for i := range page.Alerts {
			if err := page.Alerts[i].print(app); err != nil {
				return err
			}
		}
		if after = page.Next; !after.IsZero() {
			continue
		}
		if page.Held {
			app.say(`log restored: nothing is escalated until you run "tidings alerts resume"`)
		}
		if page.More > 0 {
			app.say("%d more are waiting for others to be done", page.More)
		}
		return nil
	}
}

// oneAlert names an alert and the person answering.
type oneAlert struct {
	client

	ID   string `arg:"" help:"Event ID." name:"id"`
	Name string `help:"Name of the person answering."`
	Note string `help:"Note to store with the answer."`
}

func (c *oneAlert) answer(ctx context.Context, app *app, verb, handle string, more map[string]any) error {
	body := map[string]any{"name": c.Name, "note": c.Note}
	for member, value := range more {
		body[member] = value
	}
	header := http.Header{}
	if handle != "" {
		header.Set("If-Match", `"`+handle+`"`)
	}
	var a alertInfo
	if err := c.exchange(ctx, app, http.MethodPost, nil, header, body, &a, "v1", "events", url.PathEscape(c.ID),
		verb); err != nil {
		return err
	}
	return a.print(app)
}

// ofClaim answers on behalf of the current claim.
func (c *oneAlert) ofClaim(ctx context.Context, app *app, verb string) error {
	id, err := store.ParseID(c.ID)
	if err != nil {
		return err
	}
	page, err := c.open(ctx, app, id.Prev(), 1)
	if err != nil {
		return err
	}
	for _, a := range page.Alerts {
		if a.ID == id.String() && a.Handle != "" {
			return c.answer(ctx, app, verb, a.Handle, nil)
		}
	}
	return fmt.Errorf("alert %s is not claimed; see \"tidings alerts list\"", c.ID)
}

type alertsClaimCmd struct {
	oneAlert

	Force bool `help:"Take the alert over from its current holder."`
}

func (c *alertsClaimCmd) Run(ctx context.Context, app *app) error {
	return c.answer(ctx, app, "claim", "", map[string]any{"force": c.Force})
}

type alertsReleaseCmd struct{ oneAlert }

func (c *alertsReleaseCmd) Run(ctx context.Context, app *app) error {
	return c.ofClaim(ctx, app, "release")
}

type alertsDoneCmd struct{ oneAlert }

func (c *alertsDoneCmd) Run(ctx context.Context, app *app) error { return c.ofClaim(ctx, app, "done") }

// ruleInfo is a rule as the server reports it, and as it is set.
type ruleInfo struct {
	Topics      []string   `json:"topics"`
	Types       []string   `json:"types"`
	MinSeverity int        `json:"min_severity"`
	Hours       *hoursInfo `json:"hours"`
	Always      bool       `json:"always"`
	Steps       []stepInfo `json:"steps"`
	MutedUntil  *time.Time `json:"muted_until"`

	UnheardAfter *float64 `json:"unheard_after_seconds"`
}

type hoursInfo struct {
	Zone string       `json:"zone"`
	Open []windowInfo `json:"open"`
}

type windowInfo struct {
	Days []string `json:"days"`
	From string   `json:"from"`
	To   string   `json:"to"`
}

type stepInfo struct {
	After    float64 `json:"after_seconds"`
	Delivery string  `json:"delivery,omitempty"`
	Push     bool    `json:"push,omitzero"`
}

// to names the step's destination.
func (s stepInfo) to() string {
	if s.Push {
		return "push to devices"
	}
	return s.Delivery
}

// namedRule is a rule in a response.
type namedRule struct {
	Name string `json:"name"`
	Tag  string `json:"tag"`
	ruleInfo
	Open int `json:"open"`
	More int `json:"more"`

	Unheard   *time.Time `json:"unheard_since"`
	SignedOff *time.Time `json:"signed_off_until"`
}

func (r *namedRule) print(app *app) error {
	text := fmt.Sprintf("%s: %s", r.Name, strings.Join(r.Topics, " "))
	if len(r.Types) > 0 {
		text += ", of type " + strings.Join(r.Types, ", ")
	}
	if r.MinSeverity > 0 {
		text += fmt.Sprintf(", of severity %d or more", r.MinSeverity)
	}
	if err := app.print("%s; %d open", printable(text), r.Open+r.More); err != nil {
		return err
	}
	for _, s := range r.Steps {
		if err := app.print("  after %v: %s", time.Duration(s.After*float64(time.Second)), s.to()); err != nil {
			return err
		}
	}
	if r.Unheard != nil {
		if err := app.print("  nobody is listening, since %s", r.Unheard.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	if r.SignedOff != nil {
		if err := app.print("  signed off until %s", r.SignedOff.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	if r.MutedUntil != nil && r.MutedUntil.After(time.Now()) {
		return app.print("  muted until %s", r.MutedUntil.Format(time.RFC3339))
	}
	return nil
}

type alertsRulesCmd struct{ client }

func (c *alertsRulesCmd) Run(ctx context.Context, app *app) error {
	var list struct {
		Rules []namedRule `json:"rules"`
	}
	if err := c.exchange(ctx, app, http.MethodGet, nil, nil, nil, &list, "v1", "alerts"); err != nil {
		return err
	}
	for i := range list.Rules {
		if err := list.Rules[i].print(app); err != nil {
			return err
		}
	}
	return nil
}

type alertsPutCmd struct {
	client

	Name        deliveryName `arg:"" help:"Rule name."`
	Topic       []string     `       help:"Topic or pattern whose events raise alerts. Repeatable."     placeholder:"PATTERN" required:""`
	Type        []string     `       help:"Only events of this type. Repeatable."                           placeholder:"TYPE"`
	MinSeverity int          `       help:"Only events with at least this CloudEvents severitynumber."`
	Step        []ruleStep   `       help:"Notify this delivery if the alert is unclaimed after this time, e.g. 3m=wecom, or push to devices, e.g. 1m@push. Repeatable." placeholder:"TIME=DELIVERY"`
	Zone        string       `       help:"Time zone of --open, e.g. Europe/Berlin."`
	Open        []ruleWindow `       help:"Opening hours, e.g. mon-fri/09:00-18:00; escalation waits outside them. Repeatable." placeholder:"DAYS/TIMES" sep:"none"`
	Always      bool         `       help:"Escalate outside opening hours, too."`

	UnheardAfter time.Duration `default:"2m" help:"During opening hours, notify the first delivery when nobody has been able to hear an alert for this long; 0 for never."`
}

// ruleStep is TIME=DELIVERY or TIME@push; no delivery can have that name.
type ruleStep stepInfo

// UnmarshalText is called by kong.
func (s *ruleStep) UnmarshalText(text []byte) error {
	delay, name, ok := strings.Cut(string(text), "=")
	push := false
	if !ok {
		delay, push = strings.CutSuffix(delay, "@push")
	}
	after, err := time.ParseDuration(delay)
	if err != nil || (name == "") != push {
		return fmt.Errorf("expected a time and the name of a delivery, such as 3m=wecom, or 1m@push, got %q", text)
	}
	*s = ruleStep{after.Seconds(), name, push}
	return nil
}

// ruleWindow is DAYS/TIMES.
type ruleWindow windowInfo

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// UnmarshalText is called by kong. The server decides which days and times are valid.
func (w *ruleWindow) UnmarshalText(text []byte) error {
	dates, times, ok := strings.Cut(string(text), "/")
	from, to, okTimes := strings.Cut(times, "-")
	if !ok || !okTimes {
		return fmt.Errorf("expected days and times, such as mon-fri/09:00-18:00 or sat,sun/10:00-16:00, got %q", text)
	}
	*w = ruleWindow{From: from, To: to}
	for part := range strings.SplitSeq(dates, ",") {
		first, last, many := strings.Cut(part, "-")
		if !many {
			w.Days = append(w.Days, part)
			continue
		}
		begin, end := dayOf(first), dayOf(last)
		if begin < 0 || end < 0 {
			return fmt.Errorf("expected days such as mon-fri, got %q", part)
		}
		for i := begin; ; i = (i + 1) % len(weekdays) {
			w.Days = append(w.Days, weekdays[i])
			if i == end {
				break
			}
		}
	}
	return nil
}

func dayOf(name string) int {
	for i, d := range weekdays {
		if d == name {
			return i
		}
	}
	return -1
}

// Validate is called by kong.
func (c *alertsPutCmd) Validate() error {
	if (c.Zone == "") != (len(c.Open) == 0) {
		return errors.New("expected --zone and --open together, or neither")
	}
	return nil
}

func (c *alertsPutCmd) Run(ctx context.Context, app *app) error {
	after := c.UnheardAfter.Seconds()
	rule := ruleInfo{Topics: c.Topic, Types: c.Type, MinSeverity: c.MinSeverity, Always: c.Always, UnheardAfter: &after}
	for _, s := range c.Step {
		rule.Steps = append(rule.Steps, stepInfo(s))
	}
	if c.Zone != "" {
		rule.Hours = &hoursInfo{Zone: c.Zone}
		for _, w := range c.Open {
			rule.Hours.Open = append(rule.Hours.Open, windowInfo(w))
		}
	}
	return c.putRule(ctx, app, c.Name, rule, nil)
}

func (c *client) putRule(ctx context.Context, app *app, name deliveryName, rule ruleInfo,
	condition http.Header) error {
	var r namedRule
	if err := c.exchange(ctx, app, http.MethodPut, nil, condition, rule, &r,
		"v1", "alerts", name.segment()); err != nil {
		return err
	}
	return r.print(app)
}

type alertsSignOffCmd struct {
	client

	Rule deliveryName  `arg:"" help:"Rule name."`
	For  time.Duration `       help:"For how long (default: until the rule's hours next begin)."`
	End  bool          `       help:"Cancel the sign-off."`
	Name string        `       help:"Name of the person signing off."`
	Note string        `       help:"Note to store with the answer."`
}

func (c *alertsSignOffCmd) Run(ctx context.Context, app *app) error {
	method := http.MethodPost
	if c.End {
		method = http.MethodDelete
	}
	var now struct {
		SignedOff *time.Time `json:"signed_off_until"`
	}
	body := map[string]any{"name": c.Name, "note": c.Note, "seconds": c.For.Seconds()}
	err := c.exchange(ctx, app, method, nil, nil, body, &now, "v1", "alerts", c.Rule.segment(), "sign-off")
	var p *problem
	if errors.As(err, &p) && p.Field == "seconds" {
		return fmt.Errorf("%w; give a duration, as in --for 12h", err)
	}
	if err != nil {
		return err
	}
	if now.SignedOff == nil {
		return app.print("%s: signed on", c.Rule)
	}
	return app.print("%s: signed off until %s", c.Rule, now.SignedOff.Format(time.RFC3339))
}

type alertsMuteCmd struct {
	client

	Name deliveryName  `arg:"" help:"Rule name."`
	For  time.Duration `arg:"" help:"For how long, e.g. 8h; 0 unmutes."`
}

func (c *alertsMuteCmd) Run(ctx context.Context, app *app) error {
	var r namedRule
	if err := c.exchange(ctx, app, http.MethodGet, nil, nil, nil, &r, "v1", "alerts", c.Name.segment()); err != nil {
		return err
	}
	r.MutedUntil = nil
	if c.For > 0 {
		until := time.Now().Add(c.For).UTC()
		r.MutedUntil = &until
	}
	return c.putRule(ctx, app, c.Name, r.ruleInfo, http.Header{"If-Match": {`"` + r.Tag + `"`}})
}

type alertsDeleteCmd struct {
	client

	Name deliveryName `arg:"" help:"Rule name."`
}

func (c *alertsDeleteCmd) Run(ctx context.Context, app *app) error {
	return c.exchange(ctx, app, http.MethodDelete, nil, nil, nil, nil, "v1", "alerts", c.Name.segment())
}

type alertsResumeCmd struct{ client }

func (c *alertsResumeCmd) Run(ctx context.Context, app *app) error {
	return c.exchange(ctx, app, http.MethodPost, url.Values{"all": {"resume"}}, nil, nil, nil, "v1", "alerts")
}
