package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// healthTimeout is below the 30 s that container engines give a health check.
const healthTimeout = 5 * time.Second

// healthCmd asks whether the server is alive, not whether it accepts writes: what watches a process
// starts another in its place, which does not help against a full disk and cuts every stream.
type healthCmd struct {
	client `embed:""`
}

func (c *healthCmd) Run(ctx context.Context, app *app) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, nil, "healthz")
	if err != nil {
		return err
	}
	resp, err := app.httpClient().Do(req)
	if err != nil {
		return fmt.Errorf("not healthy: %w", shorten(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %w", readProblem(resp))
	}
	return nil
}
