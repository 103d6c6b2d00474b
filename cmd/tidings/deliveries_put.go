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

	Name        deliveryName  `arg:"" help:"Name of the delivery."`
	Kind        string        `       help:"What it sends to: a service (webhook, and that is what a new one is unless said), or people, by dingtalk, feishu, slack, smtp, telegram or wecom, or any other service by a template (json)." placeholder:"KIND"`
	Endpoint    string        `       help:"URL to send to."                                                                                 placeholder:"URL"`
	Topic       []string      `       help:"Topic or pattern to send; repeatable."                                                           placeholder:"PATTERN"`
	Format      string        `       help:"Body of a request: the whole event as CloudEvents JSON (cloudevents), or its data alone (data)." placeholder:"FORM"`
	From        string        `       help:"Where a new delivery begins: latest, earliest, or after the event of an ID."                     placeholder:"START"`
	GiveUpAfter time.Duration `       help:"Time that one message is tried."                                       placeholder:"TIME"`
	OnGiveUp    string        `       help:"What then becomes of an event: the delivery stops (stop), or the event is set aside and the next one sent (set_aside)." placeholder:"WHAT"`
	To          string        `       help:"Chat that a Telegram bot writes to: its ID, or a channel such as @orders; of smtp the addresses, separated by commas." placeholder:"WHOM"`
	Sender      string        `       help:"Address that mail comes from."                                     placeholder:"ADDRESS"`
	User        string        `       help:"User of the mail server; the sender's address unless named, if there is a secret." placeholder:"NAME"`
	Language    string        `       help:"Language of what people read: en or zh." placeholder:"LANGUAGE"`
	TimeZone    string        `       help:"Time zone of the times that people read, such as Asia/Shanghai." placeholder:"ZONE"`
	Detail      string        `       help:"What people read of events: how many in which topics (count), or also what the newest one says (data)." placeholder:"WHAT"`
	Template    *string       `       help:"Text in the place of the server's own, with placeholders such as {{count}}, {{topic}} and {{data.number}}; empty for none. For json an object with such texts." placeholder:"TEXT"`
	Order       string        `       help:"Which event waits for which: each for the one before it (strict), each for the one before it of its topic (topic), none (parallel)." placeholder:"ORDER"`
	InFlight    int           `       help:"Requests at once, unless the order is strict; 16 unless set."                                    placeholder:"N"`
	NewSecret   bool          `       help:"Replace the secret, and print the new one; a new webhook gets one anyway."                                            xor:"secret"`
	SecretFile  string        `       help:"File with the secret to use, - for standard input; of a webhook whsec_ and the base64 of 24 to 64 bytes."     placeholder:"FILE"    xor:"secret"`
	Overlap     time.Duration `       help:"Time that the secret which is replaced signs too."                                                                                  default:"24h"`
}

// Run prints a secret that it has made: it is shown this once.
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

// secret returns the one to set, "" to keep what is there, and whether it was made here: that of another kind than a
// webhook is the receiver's to make.
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
			return "", false, nil // its service has made one, if it has one
		}
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key), true, nil
}
