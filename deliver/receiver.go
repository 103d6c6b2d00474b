package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a container may have none

	"tidings/internal/outbound"
)

// Kind is the kind of receiver that a delivery sends to.
type Kind string

const (
	Webhook  Kind = "webhook"  // a service, by Standard Webhooks
	Custom   Kind = "json"     // a service that takes JSON of its own form
	DingTalk Kind = "dingtalk" // a custom robot
	Feishu   Kind = "feishu"   // a custom bot, of Lark too
	Mail     Kind = "smtp"     // mailboxes, by a mail server
	Slack    Kind = "slack"    // an incoming webhook
	Telegram Kind = "telegram" // a bot
	WeCom    Kind = "wecom"    // the robot of a group
)

// Detail is how much of an event people get to read.
type Detail string

const (
	Count  Detail = "count" // how many there are, and of which topics: nothing else that a publisher wrote
	Fields Detail = "data"  // the newest one's content as well
)

// Recipient is what a delivery sends to, and how its texts read there.
type Recipient struct {
	Kind     Kind            `json:"kind,omitzero"`
	To       string          `json:"to,omitzero"`        // of a Telegram, the chat; of a Mail, the addresses
	Sender   string          `json:"sender,omitzero"`    // of a Mail
	User     string          `json:"user,omitzero"`      // of a Mail's server; "" is the sender's address
	Language string          `json:"language,omitzero"`  // "en" or "zh"; "" is "en"
	TimeZone string          `json:"time_zone,omitzero"` // an IANA name; "" is UTC
	Detail   Detail          `json:"detail,omitzero"`    // "" is Count
	Template json.RawMessage `json:"template,omitzero"`  // a JSON string; for a Custom, which requires it, an object
}

// receiver is a kind of receiver.
type receiver interface {
	traits() *traits
	// send makes one attempt, which ctx ends, and judges the answer.
	send(ctx context.Context, s *Sender, name string, to *target, m *message) answer
}

// traits are what the settings of a kind are checked against. Errors of its functions are *InvalidError.
type traits struct {
	takes  []string      // the members it has, of those that not every kind has
	secret string        // what its secret is, if a new one must have one
	bearer bool          // the secret itself is sent
	url    string        // default; "": a URL is required
	pace   time.Duration // minimum interval between two messages

	key   func(secret string) error
	check func(*Recipient) error                                 // nil: nothing more to check
	parse func(g *outbound.Guard, text string) (*url.URL, error) // nil: an HTTP URL
}

// receivers are all kinds.
var receivers = map[Kind]receiver{Webhook: webhook{}, Custom: custom, DingTalk: dingtalk, Feishu: feishu,
	Mail: smtp{}, Slack: slack, Telegram: telegram, WeCom: wecom}

func (p *Recipient) receiver() receiver { return receivers[p.Kind] }

// people reports whether people read the messages: then one may cover many events.
func (p *Recipient) people() bool { return p.Kind != Webhook }

// special are the members that not every kind has, and whether they are set.
func (set *Settings) special() map[string]bool {
	return map[string]bool{"format": set.Format != "", "secret": set.Secret != "", "to": set.To != "",
		"sender": set.Sender != "", "user": set.User != "",
		"language": set.Language != "", "time_zone": set.TimeZone != "", "detail": set.Detail != "",
		"template": set.Template != nil}
}

// texts are the members of kinds that people read.
var texts = []string{"language", "time_zone", "detail", "template"}

// applyRecipient applies the settings' recipient to the record. The error is an *InvalidError.
func (r *record) applyRecipient(set *Settings, made bool) error {
	if err := r.applyKind(set, made); err != nil {
		return err
	}
	if len(set.Template) > maxTemplate {
		return &InvalidError{"template", fmt.Sprintf("expected at most %d bytes", maxTemplate)}
	}
	r.take(set)
	if check := r.receiver().traits().check; check != nil {
		if err := check(&r.Recipient); err != nil {
			return err
		}
	}
	if err := r.checkTexts(); err != nil {
		return err
	}
	waits := r.Sealed == nil && set.URL == "" // for its secret, too
	if r.Kind == Custom && usesSecret(&r.Recipient) && set.Secret == "" && !waits &&
		(set.Template != nil || r.Changed.IsZero()) {
		return &InvalidError{"secret", "set a template that contains the secret together with it"}
	}
	return nil
}

// applyKind is the part of applyRecipient for the kind and the members that it has.
func (r *record) applyKind(set *Settings, made bool) error {
	if set.Kind != "" && receivers[set.Kind] == nil {
		return &InvalidError{"kind", "expected one of " + listed(slices.Sorted(maps.Keys(receivers)))}
	}
	if !made && set.Kind != "" && set.Kind != r.Kind {
		return &InvalidError{"kind", fmt.Sprintf("this one is of kind %q, which cannot change; create another "+
			"delivery", r.Kind)}
	}
	if made && set.Kind != "" {
		r.Kind = set.Kind
	}
	t := r.receiver().traits()
	if made && set.URL == "" && !set.Incomplete {
		set.URL = t.url
	}
	for member, said := range set.special() {
		if said && !slices.Contains(t.takes, member) {
			return &InvalidError{member, fmt.Sprintf("a delivery of kind %q has no such setting", r.Kind)}
		}
	}
	switch {
	case made && set.URL == "" && !set.Incomplete:
		return &InvalidError{"url", "a new delivery needs a URL"}
	case made && set.Secret == "" && t.secret != "" && !set.Incomplete:
		return &InvalidError{"secret", "a new delivery needs a secret: " + t.secret}
	case made && set.Template == nil && r.Kind == Custom:
		return &InvalidError{"template", `a new delivery of this kind needs a template, such as {"text": "{{text}}"}`}
	}
	if r.people() {
		r.Format = ""
	}
	return nil
}

// take copies the members that are set; the others stay.
func (r *record) take(set *Settings) {
	for _, m := range []struct {
		into *string
		text string
	}{{&r.To, set.To}, {&r.Sender, set.Sender}, {&r.User, set.User}, {&r.Language, set.Language},
		{&r.TimeZone, set.TimeZone}, {(*string)(&r.Detail), string(set.Detail)}} {
		if m.text != "" {
			*m.into = m.text
		}
	}
	if set.Template != nil {
		r.Template = set.Template
	}
}

// checkTexts checks the settings of texts.
func (r *record) checkTexts() error {
	_, err := time.LoadLocation(r.TimeZone)
	switch {
	case r.Language != "" && languages[r.Language] == nil:
		return &InvalidError{"language", "expected one of " + listed(slices.Sorted(maps.Keys(languages)))}
	case err != nil || r.TimeZone == "Local":
		return &InvalidError{"time_zone", "expected the name of a time zone, such as Asia/Shanghai"}
	case r.Detail != "" && r.Detail != Count && r.Detail != Fields:
		return &InvalidError{"detail", fmt.Sprintf("expected %q or %q", Count, Fields)}
	}
	return r.checkTemplate()
}

// listed formats names for a message.
func listed[T ~string](names []T) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, fmt.Sprintf("%q", string(name)))
	}
	return strings.Join(quoted, ", ")
}
