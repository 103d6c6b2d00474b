package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// oneEventOrAll names one event that a delivery has set aside, or all of them.
type oneEventOrAll struct {
	client

	Name deliveryName `arg:"" help:"Delivery name."`
	ID   string       `arg:"" optional:"" help:"Event ID." name:"id"`
	All  bool         `                   help:"All events set aside."`
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

	Name    deliveryName `arg:"" help:"Delivery name."`
	After   string       `       help:"Start after this event."                                                      placeholder:"ID"     xor:"what"`
	Since   string       `       help:"Where to start: earliest, an age such as 15m or 1d, or an RFC 3339 time."                    placeholder:"TIME"   xor:"what"`
	ID      []string     `       help:"ID of an event to send. Repeatable."                                        name:"id"        placeholder:"ID"     xor:"what"`
	End     bool         `       help:"Stop the current replay or redrive."                                                               xor:"what"`
	Through string       `       help:"ID of the last event to send (default: the last one the delivery has passed)."                     placeholder:"ID"`
	NewIDs  bool         `       help:"Send with new IDs, so that receivers that drop repeats accept them."      name:"new-ids"`
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

	Forget bool `help:"Permanently forget this event, or --all."`
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

// forget prints the number of events that it has forgotten.
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
