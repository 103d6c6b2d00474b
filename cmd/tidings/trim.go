package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"tidings/store"
)

type trimCmd struct {
	client

	Topic  string   `arg:"" help:"Topic; no patterns."`
	Before store.ID `help:"ID of the oldest event to keep." required:"" placeholder:"ID"`
}

// Validate is called by kong after parsing.
func (c *trimCmd) Validate() error { return store.ValidateTopic(c.Topic) }

func (c *trimCmd) Run(ctx context.Context, app *app) error {
	req, err := c.request(ctx, http.MethodPost, url.Values{"before": {c.Before.String()}}, "v1",
		"topics", c.Topic, "trim")
	if err != nil {
		return err
	}
	resp, sent, err := roundTrip(app.httpClient(), req)
	switch {
	case err != nil && sent:
		return fmt.Errorf(
			"no answer from the server; some of the events may have been deleted, run the same again: %w",
			err)
	case err != nil:
		return fmt.Errorf("nothing was deleted: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readProblem(resp)
	}
	var answer struct {
		Deleted *int `json:"deleted"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Deleted == nil {
		return fmt.Errorf("%s answered %s without a count: is it a Tidings server?",
			c.URL, resp.Status)
	}
	return app.print("%d", *answer.Deleted)
}
