// Worker keeps a shop's stock from the orders in the log. Each order counts once, whenever the worker or the server is
// killed:
//
//	go run . [-state stock.json]
//
// TIDINGS_URL is the server's address, TIDINGS_TOKEN the token to read with. Run one worker per file.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	path := flag.String("state", "stock.json", "file of the stock")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := work(ctx, *path); ctx.Err() == nil {
		log.Fatal(err)
	}
}

func work(ctx context.Context, path string) error {
	s, err := load(path)
	if err != nil {
		return err
	}
	for {
		p, err := read(ctx, s.Cursor)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var again *againError
		if errors.As(err, &again) {
			log.Print(err)
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if err == nil {
			err = s.apply(p)
		}
		if err == nil {
			err = s.save(path)
		}
		if err != nil {
			return err
		}
	}
}

// page is a response of GET /v1/events.
type page struct {
	Events []event
	Next   string // the cursor after this page
	Gap    *gap
}

type event struct {
	ID, Type string
	Data     json.RawMessage
}

// gap reports that events after the cursor are gone, which the worker therefore never counted.
type gap struct {
	Reason    string `json:"reason"`
	Requested string `json:"requested"`
	Detail    string `json:"detail"`
}

// againError: the read may be retried.
type againError struct{ error }

// read gets what follows the cursor. While there is nothing it waits.
func read(ctx context.Context, cursor string) (p page, err error) {
	query := url.Values{"after": {cursor}, "limit": {"100"}, "wait": {"30s"}}
	if cursor == "" {
		query.Set("since", "earliest")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute,
		errors.New("the server does not answer"))
	defer cancel()
	target := cmp.Or(os.Getenv("TIDINGS_URL"),
		"http://127.0.0.1:8080") + "/v1/topics/orders/events?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return p, err
	}
	if token := os.Getenv("TIDINGS_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return p, &againError{err}
	}
	defer resp.Body.Close()
	switch status := resp.StatusCode; {
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return p, &againError{fmt.Errorf("the server answered %s", resp.Status)}
	case status != http.StatusOK:
		return p, fmt.Errorf("refused with %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		return p, &againError{err} // the response was cut off
	}
	return p, nil
}
