package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// deliveriesCmd works on what a server sends by itself.
type deliveriesCmd struct {
	List    deliveriesListCmd    `cmd:"" help:"List deliveries: where each is, what fails and since when."`
	Put     deliveriesPutCmd     `cmd:"" help:"Make a delivery, or change one; what is left out stays."`
	Pause   deliveriesPauseCmd   `cmd:"" help:"End the sending of one delivery, or of all, until it is resumed."`
	Resume  deliveriesResumeCmd  `cmd:"" help:"Have one delivery, or all, send again; with --all also from a copy of a log."`
	Skip    deliveriesSkipCmd    `cmd:"" help:"Pass over the message that fails."`
	Dead    deliveriesDeadCmd    `cmd:"" help:"List the events that a delivery has set aside, or forget them."`
	Redrive deliveriesRedriveCmd `cmd:"" help:"Try an event that was set aside again, or all; what is taken is set aside no more."`
	Replay  deliveriesReplayCmd  `cmd:"" help:"Send events again, from an ID or a time on, or of named IDs."`
	Test    deliveriesTestCmd    `cmd:"" help:"Send a message of type tidings.test now."`
	Export  deliveriesExportCmd  `cmd:"" help:"Write the settings and places of all deliveries, without URLs and secrets, as JSON lines."`
	Import  deliveriesImportCmd  `cmd:"" help:"Make the deliveries that export has written; each waits for its URL and a secret."`
	Delete  deliveriesDeleteCmd  `cmd:"" help:"Delete a delivery; what it has not sent is not sent."`
}

// deliveryName is a name as a path can carry it.
type deliveryName string

// UnmarshalText is called by kong.
func (n *deliveryName) UnmarshalText(text []byte) error {
	if len(text) == 0 || string(text) == "." || string(text) == ".." {
		return fmt.Errorf("expected the name of a delivery, got %q", text)
	}
	*n = deliveryName(text)
	return nil
}

// call makes a request about deliveries and decodes the answer, unless into is nil.
func (c *client) call(ctx context.Context, app *app, method string, query url.Values, body, into any,
	path ...string) error {
	return c.exchange(ctx, app, method, query, nil, body, into, append([]string{"v1", "deliveries"}, path...)...)
}

// exchange makes a request and decodes the answer, unless into is nil.
func (c *client) exchange(ctx context.Context, app *app, method string, query url.Values, header http.Header,
	body, into any, path ...string) error {
	req, err := c.request(ctx, method, query, path...)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, header)
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		req.Header.Set("Content-Type", "application/json")
	}
	resp, sent, err := roundTrip(app.httpClient(), req)
	switch {
	case err != nil && sent && method != http.MethodGet:
		return fmt.Errorf("no answer from the server, it may be done; list shows whether it is: %w", err)
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return readProblem(resp)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("%s answered %s without what was expected: is it a Tidings server?", c.URL, resp.Status)
	}
	return nil
}

func (n deliveryName) segment() string { return url.PathEscape(string(n)) }

// deliveryInfo is a delivery as the server tells of it.
type deliveryInfo struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Origin    string   `json:"origin"`
	Topics    []string `json:"topics"`
	State     string   `json:"state"`
	Reason    string   `json:"reason"`
	LagEvents int      `json:"lag_events"`
	HeldBack  int      `json:"held_back"`
	Dead      int      `json:"dead"`
	Run       *struct {
		Kind    string `json:"kind"`
		Number  int    `json:"number"`
		State   string `json:"state"`
		Sent    int    `json:"sent"`
		Refused int    `json:"refused"`
		Gone    int    `json:"gone"`
		Error   string `json:"error"`
	} `json:"run"`
	Failing *struct {
		ID       string     `json:"id"`
		Attempts int        `json:"attempts"`
		First    time.Time  `json:"first"`
		Next     *time.Time `json:"next"`
		Error    string     `json:"error"`
	} `json:"failing"`
}

// print writes what an administrator looks for first.
func (d *deliveryInfo) print(app *app) error {
	to := d.Origin
	if d.Kind != "webhook" && d.Kind != "" {
		to = d.Kind + " at " + to
	}
	err := app.print("%s: %s, %d events behind, %s to %s", d.Name, d.State, d.LagEvents,
		strings.Join(d.Topics, " "), to)
	if err == nil && d.Reason != "" {
		err = app.print("  %s", d.Reason)
	}
	if err == nil && d.HeldBack > 0 {
		err = app.print("  %d are held back", d.HeldBack)
	}
	if err == nil && d.Dead > 0 {
		err = app.print("  %d events are set aside", d.Dead)
	}
	if r := d.Run; err == nil && r != nil {
		kind := r.Kind
		if r.Number > 0 {
			kind = fmt.Sprintf("%s %d", r.Kind, r.Number)
		}
		text := fmt.Sprintf("  %s %s: %d sent, %d refused, %d gone", kind, r.State, r.Sent, r.Refused, r.Gone)
		if r.Error != "" {
			text += ": " + printable(r.Error)
		}
		err = app.print("%s", text)
	}
	if f := d.Failing; err == nil && f != nil {
		next := "not tried again"
		if f.Next != nil {
			next = "next at " + f.Next.Format(time.RFC3339)
		}
		err = app.print("  %s has failed %d times since %s, %s: %s", f.ID, f.Attempts,
			f.First.Format(time.RFC3339), next, f.Error)
	}
	return err
}

type deliveriesListCmd struct {
	client
}

func (c *deliveriesListCmd) Run(ctx context.Context, app *app) error {
	query := url.Values{}
	for {
		var page struct {
			Deliveries []deliveryInfo `json:"deliveries"`
			Next       *string        `json:"next"`
		}
		if err := c.call(ctx, app, http.MethodGet, query, nil, &page); err != nil {
			return err
		}
		for i := range page.Deliveries {
			if err := page.Deliveries[i].print(app); err != nil {
				return err
			}
		}
		if page.Next == nil {
			return nil
		}
		query.Set("after", *page.Next)
	}
}

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

// oneOrAll names a delivery, or all.
type oneOrAll struct {
	client

	Name deliveryName `arg:"" optional:"" help:"Name of the delivery."`
	All  bool         `                   help:"All deliveries."`
}

func (c *oneOrAll) run(ctx context.Context, app *app, verb string) error {
	if c.All == (c.Name != "") {
		return usageError{errors.New("expected the name of a delivery, or --all")}
	}
	if !c.All {
		var d deliveryInfo
		if err := c.call(ctx, app, http.MethodPost, nil, nil, &d, c.Name.segment(), verb); err != nil {
			return err
		}
		return d.print(app)
	}
	var answer struct {
		Changed int `json:"changed"`
	}
	if err := c.call(ctx, app, http.MethodPost, url.Values{"all": {verb}}, nil, &answer); err != nil {
		return err
	}
	return app.print("%d", answer.Changed)
}

type deliveriesPauseCmd struct{ oneOrAll }

func (c *deliveriesPauseCmd) Run(ctx context.Context, app *app) error {
	return c.run(ctx, app, "pause")
}

type deliveriesResumeCmd struct{ oneOrAll }

func (c *deliveriesResumeCmd) Run(ctx context.Context, app *app) error {
	return c.run(ctx, app, "resume")
}

type deliveriesSkipCmd struct {
	client

	Name deliveryName `arg:"" help:"Name of the delivery."`
	ID   string       `arg:"" help:"ID of the message that fails, as list prints it." name:"id"`
}

func (c *deliveriesSkipCmd) Run(ctx context.Context, app *app) error {
	var d deliveryInfo
	err := c.call(ctx, app, http.MethodPost, url.Values{"id": {c.ID}}, nil, &d, c.Name.segment(), "skip")
	if err != nil {
		return err
	}
	return d.print(app)
}

// oneEventOrAll names an event that was set aside, or all of a delivery.
type oneEventOrAll struct {
	client

	Name deliveryName `arg:"" help:"Name of the delivery."`
	ID   string       `arg:"" optional:"" help:"ID of the event." name:"id"`
	All  bool         `                   help:"All that are set aside."`
}

func (c *oneEventOrAll) query() (url.Values, error) {
	if c.All == (c.ID != "") {
		return nil, usageError{errors.New("expected the ID of an event, or --all")}
	}
	if c.All {
		return url.Values{"all": {"true"}}, nil
	}
	return url.Values{"id": {c.ID}}, nil
}

type deliveriesRedriveCmd struct{ oneEventOrAll }

// Run does not wait for the receiver.
func (c *deliveriesRedriveCmd) Run(ctx context.Context, app *app) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	var d deliveryInfo
	if err := c.call(ctx, app, http.MethodPost, query, nil, &d, c.Name.segment(), "redrive"); err != nil {
		return err
	}
	return d.print(app)
}

type deliveriesReplayCmd struct {
	client

	Name    deliveryName `arg:"" help:"Name of the delivery."`
	After   string       `       help:"ID of the event after which it begins."                                                      placeholder:"ID"     xor:"what"`
	Since   string       `       help:"When it begins: earliest, an age such as 15m or 1d, or an RFC 3339 time."                    placeholder:"TIME"   xor:"what"`
	ID      []string     `       help:"ID of an event to send; repeatable."                                        name:"id"        placeholder:"ID"     xor:"what"`
	End     bool         `       help:"End the replay, or the redrive, that is under way."                                                               xor:"what"`
	Through string       `       help:"ID of the last event; the last that the delivery has passed unless set."                     placeholder:"ID"`
	NewIDs  bool         `       help:"Send under new IDs, so that a receiver that drops repeats takes them."      name:"new-ids"`
}

// Run does not wait for the receiver.
func (c *deliveriesReplayCmd) Run(ctx context.Context, app *app) error {
	if c.End {
		return c.end(ctx, app)
	}
	if c.After == "" && c.Since == "" && len(c.ID) == 0 {
		return usageError{errors.New("expected --after, --since, --id or --end")}
	}
	body := map[string]any{"new_ids": c.NewIDs}
	for member, value := range map[string]string{"after": c.After, "since": c.Since, "through": c.Through} {
		if value != "" {
			body[member] = value
		}
	}
	if len(c.ID) > 0 {
		body["ids"] = c.ID
	}
	var d deliveryInfo
	if err := c.call(ctx, app, http.MethodPost, nil, body, &d, c.Name.segment(), "replay"); err != nil {
		return err
	}
	return d.print(app)
}

func (c *deliveriesReplayCmd) end(ctx context.Context, app *app) error {
	var d deliveryInfo
	if err := c.call(ctx, app, http.MethodDelete, nil, nil, &d, c.Name.segment(), "replay"); err != nil {
		return err
	}
	return d.print(app)
}

type deliveriesDeadCmd struct {
	oneEventOrAll

	Forget bool `help:"Forget the event of an ID, or --all: it is not sent any more."`
}

func (c *deliveriesDeadCmd) Run(ctx context.Context, app *app) error {
	if c.Forget {
		return c.forget(ctx, app)
	}
	if c.All || c.ID != "" {
		return usageError{errors.New("an ID and --all are for --forget")}
	}
	query := url.Values{}
	for {
		var page struct {
			Dead []struct {
				ID       string    `json:"id"`
				Topic    string    `json:"topic"`
				Attempts int       `json:"attempts"`
				First    time.Time `json:"first"`
				Error    string    `json:"error"`
				Gone     bool      `json:"gone"`
			} `json:"dead"`
			Next *string `json:"next"`
		}
		if err := c.call(ctx, app, http.MethodGet, query, nil, &page, c.Name.segment(), "dead"); err != nil {
			return err
		}
		for _, d := range page.Dead {
			gone := ""
			if d.Gone {
				gone = " (gone: retention has deleted it)"
			}
			err := app.print("%s %s%s: %d attempts since %s: %s", d.ID, printable(d.Topic), gone, d.Attempts,
				d.First.Format(time.RFC3339), printable(d.Error))
			if err != nil {
				return err
			}
		}
		if page.Next == nil {
			return nil
		}
		query.Set("after", *page.Next)
	}
}

// forget prints how many it has forgotten.
func (c *deliveriesDeadCmd) forget(ctx context.Context, app *app) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	var answer struct {
		Forgotten int `json:"forgotten"`
	}
	if err := c.call(ctx, app, http.MethodDelete, query, nil, &answer, c.Name.segment(), "dead"); err != nil {
		return err
	}
	return app.print("%d", answer.Forgotten)
}

type deliveriesTestCmd struct {
	client

	Name deliveryName `arg:"" help:"Name of the delivery."`
}

// Run fails when the receiver does not take the message.
func (c *deliveriesTestCmd) Run(ctx context.Context, app *app) error {
	var result struct {
		Status *int    `json:"status"`
		Took   float64 `json:"took_seconds"`
		Error  string  `json:"error"`
	}
	if err := c.call(ctx, app, http.MethodPost, nil, nil, &result, c.Name.segment(), "test"); err != nil {
		return err
	}
	if result.Error != "" || result.Status == nil {
		return fmt.Errorf("not delivered after %.3f s: %s", result.Took, printable(result.Error))
	}
	return app.print("%d after %.3f s", *result.Status, result.Took)
}

type deliveriesDeleteCmd struct {
	client

	Name deliveryName `arg:"" help:"Name of the delivery."`
}

func (c *deliveriesDeleteCmd) Run(ctx context.Context, app *app) error {
	return c.call(ctx, app, http.MethodDelete, nil, nil, nil, c.Name.segment())
}
