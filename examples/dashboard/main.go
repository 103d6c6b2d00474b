// Dashboard publishes the numbers of a dashboard, every two seconds:
//
//	go run . [-every 2s]
//
// TIDINGS_URL is the server's address, TIDINGS_TOKEN the token to publish with.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"time"
)

// numbers are what the dashboard shows.
type numbers struct {
	Orders  int `json:"orders"`  // today
	Revenue int `json:"revenue"` // today, in cents
	Open    int `json:"open"`    // tickets
}

func main() {
	every := flag.Duration("every", 2*time.Second, "time between two events")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var n numbers
	for tick := time.Tick(*every); ; {
		n = count(n)
		if err := publish(n); err != nil {
			log.Print(err) // not retried: newer numbers follow
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// count stands in for your queries.
func count(last numbers) numbers {
	sold := rand.N(4)
	return numbers{last.Orders + sold, last.Revenue + sold*(500+rand.N(9500)),
		max(0, last.Open+rand.N(5)-2)}
}

func publish(n numbers) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Second,
		errors.New("the server does not answer"))
	defer cancel()
	target := cmp.Or(os.Getenv("TIDINGS_URL"),
		"http://127.0.0.1:8080") + "/v1/topics/dashboard/events?type=numbers"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token := os.Getenv("TIDINGS_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	return nil
}
