package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"tidings/internal/sse"
	"tidings/store"
)

type tailCmd struct {
	client

	Patterns []string `arg:"" optional:"" name:"topic-pattern" help:"Topics to print: * matches one segment, a trailing > one or more (default: all that the token grants)."`

	Since string `xor:"start" help:"Where to start: earliest, latest, an age such as 15m or 1d, or an RFC 3339 time (default: latest)."`
	Last  *int   `xor:"start" placeholder:"N" help:"Start with the newest N events."`
	After string `xor:"start" placeholder:"ID" help:"Start after this event."`

	JSON    bool `name:"json" help:"Print each event as a JSON object with id, time, type and data (default: ID, type and data as text)."`
	Limit   int  `default:"0" help:"Exit after this many events; 0 means never."`
	Verbose bool `help:"Also report openings, heartbeats and going live on standard error (default: only gaps, closings and reconnects)."`
}

// Validate is called by kong after parsing.
func (c *tailCmd) Validate() error {
	if _, err := store.NewFilter(c.Patterns...); err != nil {
		return err
	}
	if c.After != "" {
		if _, err := store.ParseID(c.After); err != nil {
			return fmt.Errorf("--after: %w", err)
		}
	}
	if c.Last != nil && *c.Last < 0 {
		return fmt.Errorf("--last: expected 0 or more but got %d", *c.Last)
	}
	if c.Limit < 0 {
		return fmt.Errorf("--limit: expected 0 or more but got %d", c.Limit)
	}
	return nil
}

// errLimit ends the subscription when --limit is reached.
var errLimit = errors.New("limit reached")

func (c *tailCmd) Run(ctx context.Context, app *app) error {
	printed := 0
	s := &subscription{
		client: &c.client,
		http:   app.httpClient(),
		query:  c.query(),
		notice: func(text string) { app.say("%s", text) },
	}
	err := s.follow(ctx, func(e sse.Event) error {
		// the end of a topic is an event of the log
		if strings.HasPrefix(e.Type, "tidings.") && e.Type != "tidings.end" {
			if text, ok := controlText(e, c.Verbose); ok {
				s.notice(text)
			}
			return nil
		}
		if err := c.print(app, e); err != nil {
			return err
		}
		if printed++; printed == c.Limit {
			return errLimit
		}
		return nil
	})
	if errors.Is(err, errLimit) || errors.Is(err, errEnded) || ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *tailCmd) query() url.Values {
	query := url.Values{}
	for _, p := range c.Patterns {
		query.Add("topic", p)
	}
	if c.Since != "" {
		query.Set("since", c.Since)
	}
	if c.Last != nil {
		query.Set("last", strconv.Itoa(*c.Last))
	}
	if c.After != "" {
		query.Set("after", c.After)
	}
	return query
}

func (c *tailCmd) print(app *app, e sse.Event) error {
	line := textLine(e)
	if c.JSON {
		line = jsonLine(e)
	}
	_, err := app.stdout.Write(line)
	return err
}

// controlText returns the report of a control event, and whether to print it.
func controlText(e sse.Event, verbose bool) (text string, ok bool) {
	var data struct {
		Reason    string `json:"reason"`
		Detail    string `json:"detail"`
		Requested string `json:"requested"`
		Through   string `json:"through"`
	}
	if json.Unmarshal(e.Data, &data) != nil { // show it as received
		return fmt.Sprintf("%s: %s", e.Type, e.Data), true
	}
	switch e.Type {
	case "tidings.gap":
		return fmt.Sprintf("gap (%s): %s; requested events after %s, missing up to %s",
			data.Reason, data.Detail, orNone(data.Requested), orNone(data.Through)), true
	case "tidings.bye":
		return fmt.Sprintf("the server closes the stream: %s", data.Reason), true
	default:
		return fmt.Sprintf("%s: %s", e.Type, e.Data), verbose
	}
}

func orNone(id string) string {
	if id == "" {
		return "(none)"
	}
	return id
}
