// Publish publishes that an order was created, once however often it runs for this order, and prints the event's ID:
//
//	go run main.go [ORDER]
//
// TIDINGS_URL is the server's address, TIDINGS_TOKEN the token for it. Needs Go 1.22 or newer and nothing else.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"time"
)

const (
	giveUpAfter  = time.Minute
	longestPause = 10 * time.Second
)

type order struct {
	Order    string `json:"order"`
	Total    string `json:"total"`
	Currency string `json:"currency"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := order{Order: "1001", Total: "79.87", Currency: "EUR"}
	if len(os.Args) > 1 {
		o.Order = os.Args[1]
	}
	// The key is named after what it announces, so that it is the same even after a crash.
	id, err := publish(ctx, "orders", "order.created", "order-"+o.Order+"-created", o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(id)
}

// publish publishes one event and returns its ID. The key names it: a repeated publish is the same
// event.
func publish(ctx context.Context, topic, eventType, key string, event any) (id string, err error) {
	target, err := url.JoinPath(cmp.Or(os.Getenv("TIDINGS_URL"), "http://127.0.0.1:8080"),
		"v1/topics", topic, "events")
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(event)
	if err != nil {
		return "", err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Event-Type": {eventType},
		"Idempotency-Key": {key}}
	if token := os.Getenv("TIDINGS_TOKEN"); token != "" {
		header.Set("Authorization", "Bearer "+token)
	}

	deadline := time.Now().Add(giveUpAfter)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, longestPause) {
		id, err := post(ctx, target, header, body)
		var again *againError
		if !errors.As(err, &again) {
			return id, err
		}
		wait := again.after + rand.N(pause)
		if time.Now().Add(wait).After(deadline) {
			return "", fmt.Errorf("gave up, the event may be stored or not: %w", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return "", fmt.Errorf("interrupted, the event may be stored or not: %w", err)
		}
	}
}

// againError: the publish may be retried with the same key, after a pause of at least this long.
type againError struct {
	error
	after time.Duration
}

func post(ctx context.Context, target string, header http.Header,
	body []byte) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
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
