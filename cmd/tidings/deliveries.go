package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// deliveriesCmd manages what a server sends to receivers.
type deliveriesCmd struct {
	List    deliveriesListCmd    `cmd:"" help:"List deliveries: position, failures, since when."`
	Put     deliveriesPutCmd     `cmd:"" help:"Create or change a delivery. Settings left out stay as they are."`
	Pause   deliveriesPauseCmd   `cmd:"" help:"Pause one delivery, or all."`
	Resume  deliveriesResumeCmd  `cmd:"" help:"Resume one delivery, or all; --all also enables sending from a restored log."`
	Skip    deliveriesSkipCmd    `cmd:"" help:"Skip the failing message."`
	Dead    deliveriesDeadCmd    `cmd:"" help:"List or forget the events that a delivery has set aside."`
	Redrive deliveriesRedriveCmd `cmd:"" help:"Retry one event that was set aside, or all."`
	Replay  deliveriesReplayCmd  `cmd:"" help:"Resend events: from an ID or time on, or single ones."`
	Test    deliveriesTestCmd    `cmd:"" help:"Send a test message (type tidings.test) now."`
	Export  deliveriesExportCmd  `cmd:"" help:"Print settings and positions of all deliveries as JSON lines, without URLs and secrets."`
	Import  deliveriesImportCmd  `cmd:"" help:"Create deliveries from an export. Each waits for its URL and secret."`
	Delete  deliveriesDeleteCmd  `cmd:"" help:"Delete a delivery. Unsent events are not sent."`
}

// deliveryName is a name that a path can carry.
type deliveryName string

// UnmarshalText is called by kong.
func (n *deliveryName) UnmarshalText(text []byte) error {
	if len(text) == 0 || string(text) == "." || string(text) == ".." {
		return fmt.Errorf("expected the name of a delivery, got %q", text)
	}
	*n = deliveryName(text)
	return nil
}

// call makes a request about deliveries and decodes the response, unless into is nil.
func (c *client) call(ctx context.Context, app *app, method string, query url.Values, body, into any,
	path ...string) error {
	return c.exchange(ctx, app, method, query, nil, body, into, append([]string{"v1", "deliveries"}, path...)...)
}

func (n deliveryName) segment() string { return url.PathEscape(string(n)) }

// deliveryInfo is a delivery as the server reports it.
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
	Expiring *struct {
		ID string    `json:"id"`
		At time.Time `json:"at"`
	} `json:"expiring"`
	Failing *struct {
		ID       string     `json:"id"`
		Attempts int        `json:"attempts"`
		First    time.Time  `json:"first"`
		Next     *time.Time `json:"next"`
		Error    string     `json:"error"`
	} `json:"failing"`
}

// print writes first what an administrator looks for first.
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
	if e := d.Expiring; err == nil && e != nil {
		err = app.print("  retention is expected to delete %s at %s, before it is sent", e.ID, e.At.Format(time.RFC3339))
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

// oneOrAll names a delivery, or all.
type oneOrAll struct {
	client

	Name deliveryName `arg:"" optional:"" help:"Delivery name."`
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

	Name deliveryName `arg:"" help:"Delivery name."`
	ID   string       `arg:"" help:"ID of the failing message, as printed by list." name:"id"`
}

func (c *deliveriesSkipCmd) Run(ctx context.Context, app *app) error {
	var d deliveryInfo
	err := c.call(ctx, app, http.MethodPost, url.Values{"id": {c.ID}}, nil, &d, c.Name.segment(), "skip")
	if err != nil {
		return err
	}
	return d.print(app)
}

type deliveriesTestCmd struct {
	client

	Name deliveryName `arg:"" help:"Delivery name."`
}

// Run fails if the receiver does not accept the message.
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

	Name deliveryName `arg:"" help:"Delivery name."`
}

func (c *deliveriesDeleteCmd) Run(ctx context.Context, app *app) error {
	return c.call(ctx, app, http.MethodDelete, nil, nil, nil, c.Name.segment())
}
