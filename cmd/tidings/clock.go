package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

type trustClockCmd struct{ client }

func (c *trustClockCmd) Run(ctx context.Context, app *app) error {
	req, err := c.request(ctx, http.MethodPost, nil, "v1", "clock", "trust")
	if err != nil {
		return err
	}
	resp, err := app.httpClient().Do(req)
	if err != nil {
		return fmt.Errorf("no answer from the server; run the same again: %w", shorten(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readProblem(resp)
	}
	var answer struct{ Time time.Time }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Time.IsZero() {
		return fmt.Errorf("%s answered %s without a time: is it a Tidings server?", c.URL,
			resp.Status)
	}
	_, err = fmt.Fprintln(app.stdout, answer.Time.Format(time.RFC3339))
	return err
}
