package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// healthTimeout is below the 30 s that container engines give a health check.
const healthTimeout = 5 * time.Second

type healthCmd struct {
	client `embed:""`
}

func (c *healthCmd) Run(ctx context.Context, app *app) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, nil, "readyz")
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
