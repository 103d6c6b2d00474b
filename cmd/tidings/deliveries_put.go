package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

type deliveriesPutCmd struct {
	client

	Name        deliveryName  `arg:"" help:"Delivery name."`
	Kind        string        `       help:"Kind of receiver: webhook (the default), a chat or mail (dingtalk, feishu, slack, smtp, telegram, wecom), or any other service through a template (json)." placeholder:"KIND"`
	Endpoint    string        `       help:"URL to send to."                                                                                 placeholder:"URL"`
	Topic       []string      `       help:"Topic or pattern to send. Repeatable."                                                           placeholder:"PATTERN"`
	Format      string        `       help:"Request body: the whole event as CloudEvents JSON (cloudevents), or only its data (data)." placeholder:"FORM"`
	From        string        `       help:"Where a new delivery starts: latest, earliest, or after an event ID."                     placeholder:"START"`
	GiveUpAfter time.Duration `       help:"How long to retry a message."                                       placeholder:"TIME"`
	OnGiveUp    string        `       help:"What happens then: stop the delivery (stop), or set the event aside and continue (set_aside)." placeholder:"WHAT"`
	To          string        `       help:"Recipient: a Telegram chat ID or channel such as @orders, or comma-separated addresses for smtp." placeholder:"WHOM"`
	Sender      string        `       help:"Sender address of mail."                                     placeholder:"ADDRESS"`
	User        string        `       help:"User name for the mail server (default: the sender's address, if there is a secret)." placeholder:"NAME"`
	Language    string        `       help:"Language of messages to people: en or zh." placeholder:"LANGUAGE"`
	TimeZone    string        `       help:"Time zone in messages to people, e.g. Asia/Shanghai." placeholder:"ZONE"`
	Detail      string        `       help:"Content of messages to people: how many events in which topics (count), or also the newest event's data (data)." placeholder:"WHAT"`
	Template    *string       `       help:"Text of messages to people, with placeholders such as {{count}}, {{topic}} and {{data.number}}; empty restores the default. For json, an object of such texts." placeholder:"TEXT"`
	Order       string        `       help:"Ordering: each event waits for the previous one (strict), for the previous one of its topic (topic), or for none (parallel)." placeholder:"ORDER"`
	InFlight    int           `       help:"Concurrent requests, unless the order is strict (default: 16)."                                    placeholder:"N"`
	NewSecret   bool          `       help:"Replace the secret and print the new one. A new webhook always gets one."                                            xor:"secret"`
	SecretFile  string        `       help:"File with the secret to use, - for standard input; of a webhook whsec_ and the base64 of 24 to 64 bytes."     placeholder:"FILE"    xor:"secret"`
	Overlap     time.Duration `       help:"Time that the secret which is replaced signs too."                                                                                  default:"24h"`
}

// Run prints a secret that it has made; it is shown only once.
func (c *deliveriesPutCmd) Run(ctx context.Context, app *app) error {
	body := map[string]any{}
	for member, value := range map[string]string{"url": c.Endpoint, "format": c.Format, "from": c.From, "kind": c.Kind,
		"to": c.To, "sender": c.Sender, "user": c.User, "language": c.Language, "time_zone": c.TimeZone,
		"detail": c.Detail, "on_give_up": c.OnGiveUp, "order": c.Order} {
		if value != "" {
			body[member] = value
		}
	}
	if c.Template != nil {
		body["template"] = *c.Template
		if text := []byte(*c.Template); json.Valid(text) && text[0] == '{' {
			body["template"] = json.RawMessage(text)
		}
	}
	if len(c.Topic) > 0 {
		body["topics"] = c.Topic
	}
	if c.InFlight != 0 {
		body["in_flight"] = c.InFlight
	}
	if c.GiveUpAfter != 0 {
		body["give_up_after_seconds"] = c.GiveUpAfter.Seconds()
	}
	secret, made, err := c.secret(ctx, app)
	if err != nil {
		return err
	}
	if secret != "" {
		body["secret"], body["secret_overlap_seconds"] = secret, c.Overlap.Seconds()
	}
	var d deliveryInfo
	if err := c.call(ctx, app, http.MethodPut, nil, body, &d, c.Name.segment()); err != nil {
		return err
	}
	if err := d.print(app); err != nil || !made {
		return err
	}
	return app.print("  secret, shown this once: %s", secret)
}

// secret returns the secret to set, or "" to keep the present one, and whether it was made here: only webhooks get
// one here; secrets of other kinds are the receiver's to make.
func (c *deliveriesPutCmd) secret(ctx context.Context, app *app) (text string, made bool, err error) {
	if c.SecretFile != "" {
		var content []byte
		if c.SecretFile == "-" {
			content, err = io.ReadAll(io.LimitReader(app.stdin, maxProblemBytes))
		} else {
			content, err = os.ReadFile(c.SecretFile)
		}
		if err != nil {
			return "", false, usageError{fmt.Errorf("--secret-file: %w", err)}
		}
		if text = strings.TrimSpace(string(content)); text == "" {
			return "", false, usageError{errors.New("--secret-file: it is empty")}
		}
		return text, false, nil
	}
	if c.Kind != "" && c.Kind != "webhook" && !c.NewSecret {
		return "", false, nil
	}
	if !c.NewSecret {
		var missing *problem
		var d deliveryInfo
		err := c.call(ctx, app, http.MethodGet, nil, nil, &d, c.Name.segment())
		if d.State != "incomplete" && (!errors.As(err, &missing) || missing.Code != "delivery-not-found") {
			return "", false, err
		}
		if err == nil && d.Kind != "webhook" {
			return "", false, nil // the receiver makes its own, if it needs one
		}
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key), true, nil
}
