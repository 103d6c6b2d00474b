package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// tidings is the server to publish to, and the token for it.
type tidings struct{ url, token string }

// publish returns when the event is on disk, stored once however often it was sent.
func (t tidings) publish(ctx context.Context, d draft) error {
	for {
		status, err := t.post(ctx, d)
		switch {
		case err == nil && status < 300:
			return nil
		case err != nil:
		case status < 500 && status != http.StatusRequestTimeout &&
			status != http.StatusTooManyRequests:
			return fmt.Errorf("the server answered %d", status)
		default:
			err = fmt.Errorf("the server answered %d", status)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (t tidings) post(ctx context.Context, d draft) (status int, err error) {
	target := t.url + "/v1/topics/" + d.topic + "/events?type=" + url.QueryEscape(d.kind)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(d.data))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", d.key)
	if t.token != "" {
		req.Header.Set("Authorization", "Bearer "+t.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
