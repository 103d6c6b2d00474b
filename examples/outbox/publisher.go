package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	answerTimeout = 10 * time.Second
	firstPause    = 100 * time.Millisecond
	longestPause  = 10 * time.Second
)

// publisher posts rows to a Tidings server.
type publisher struct {
	url, token string
	client     *http.Client
}

func newPublisher(url, token string) *publisher {
	return &publisher{url: url, token: token, client: &http.Client{Timeout: answerTimeout}}
}

// publish posts a row until the server has stored it, however long that takes, and returns the event's ID. Any error
// but ctx's is permanent.
func (p *publisher) publish(ctx context.Context, r row) (id string, err error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		id, err := p.post(ctx, r)
		var again *againError
		if !errors.As(err, &again) {
			return id, err
		}
		log.Printf("row %d is tried again: %v", r.Position, err)
		if err := sleep(ctx, again.after+rand.N(pause)); err != nil {
			return "", err
		}
	}
}

// againError: the row may or may not be stored, and may be posted again after a pause of at least this long.
type againError struct {
	error
	after time.Duration
}

func (p *publisher) post(ctx context.Context, r row) (id string, err error) {
	target, err := url.JoinPath(p.url, "v1/topics", r.Topic, "events")
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(r.Data))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Event-Type", r.Type)
	req.Header.Set("Idempotency-Key", r.Key)
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", &againError{error: err}
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil { // the response was cut off
		return "", &againError{error: err}
	}
	// An event on success, else a problem (RFC 9457). A proxy's page leaves it empty.
	var answer struct{ ID, Title, Detail, Code string }
	_ = json.Unmarshal(content, &answer)
	switch status := resp.StatusCode; {
	case answer.ID != "" && (status == http.StatusOK || status == http.StatusCreated):
		return answer.ID, nil
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests ||
		status >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return "", &againError{fmt.Errorf("the server answered %s (%s)", resp.Status, answer.Code),
			time.Duration(seconds) * time.Second}
	default:
		return "", fmt.Errorf("refused with %s: %s: %s (%s)", resp.Status, answer.Title,
			answer.Detail, answer.Code)
	}
}
