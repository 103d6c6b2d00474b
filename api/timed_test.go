package api_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"tidings/api"
)

// TestAnswerNotTaken: a client that requests and does not read is cut off after the stall timeout, and the memory of
// what was read from the log for it is given back; one that accepts a little now and then is not, and gets
// everything.
func TestAnswerNotTaken(t *testing.T) {
	const stall, size = time.Minute, 600 << 10
	for _, path := range []string{"/v1/events", "/v1/events?limit=1000&since=earliest",
		"/v1/topics", "/metrics", "/healthz", "/", "/openapi.yaml", "/nothing",
		"/v1/stream?last=x"} {
		t.Run(path, func(t *testing.T) {
			bubble(t, api.Options{StallTimeout: stall}, func(t *testing.T, s *piped) {
				appendData(t, s.log, "orders", make([]byte, size))
				stuck, _ := s.get(path)
				time.Sleep(stall + time.Second) // the bubble's clock
				if n, err := stuck.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("%d bytes, %v after the stall time-out, want the connection closed", n,
						err)
				}
			})
		})
	}
	bubble(t, api.Options{StallTimeout: stall}, func(t *testing.T, s *piped) {
		appendData(t, s.log, "orders", bytes.Repeat([]byte("x"), size))
		slow, _ := s.get("/v1/events")
		readSlowly(t, slow, size, stall)
	})
}

// readSlowly reads this many bytes, a little now and then, for longer in total than the stall timeout.
func readSlowly(t *testing.T, client io.Reader, bytes int, stall time.Duration) {
	t.Helper()
	begin, got := time.Now(), 0
	for buf := make([]byte, 16<<10); got < bytes; {
		n, err := client.Read(buf)
		if err != nil {
			t.Fatalf("slow client after %d bytes: %v", got, err)
		}
		got += n
		time.Sleep(stall / 20) // the bubble's clock
	}
	if time.Since(begin) < stall {
		t.Fatal("the slow client was not slow")
	}
}
