package clients_test

import (
	"bufio"
	"context"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tmaxmax/go-sse"
)

// goSSE follows with a Go client library.
func goSSE(t *testing.T, url string) (*follower, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	client := sse.Client{HTTPClient: &http.Client{Transport: transport}}
	conn := client.NewConnection(req)
	conn.Buffer(nil, 2<<20) // an event may have 1 MiB; by default the library takes 64 KiB
	f := newFollower()
	conn.SubscribeToAll(func(e sse.Event) {
		switch {
		case e.Type == "tidings.live" || e.Type == "tidings.heartbeat":
		case e.Type == "":
			f.add(report{"message", e.LastEventID, unbroken(e.Data)})
		default:
			f.add(report{e.Type, e.LastEventID, unbroken(e.Data)})
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = conn.Connect() // the error says less than the fact that it ended
		f.add(report{Type: "stopped"})
	})
	t.Cleanup(func() { cancel(); wg.Wait(); transport.CloseIdleConnections() })
	return f, versionOf(t, "go", "list", "-m", "github.com/tmaxmax/go-sse")
}

// unbroken removes the line breaks between JSON tokens.
func unbroken(data string) string { return strings.ReplaceAll(data, "\n", "") }

// scanner follows as a short program would, with lines of at most 128 KiB.
func scanner(t *testing.T, url string) (*follower, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f, client := newFollower(), &http.Client{Transport: &http.Transport{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		id, retry := "", 3*time.Second
		for !scan(ctx, client, f, url, &id, &retry) {
			select {
			case <-time.After(retry):
			case <-ctx.Done():
				return
			}
		}
		f.add(report{Type: "stopped"})
	})
	t.Cleanup(func() { cancel(); wg.Wait(); client.CloseIdleConnections() })
	return f, "bufio.Scanner of " + runtime.Version()
}

// scan reads one response, and reports whether it is the last.
func scan(ctx context.Context, client *http.Client, f *follower, url string, id *string,
	retry *time.Duration) (over bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Last-Event-ID", *id)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return slices.Contains([]int{204, 401, 403}, resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 128<<10)
	for r := (report{"message", *id, ""}); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			r.ID = value
		case "event":
			r.Type = value
		case "data":
			r.Data += value // line breaks lie between JSON tokens
		case "retry":
			ms, _ := strconv.Atoi(value)
			*retry = time.Duration(ms) * time.Millisecond
		case "":
			*id = r.ID
			if r.Type != "tidings.live" && r.Type != "tidings.heartbeat" && r.Data != "" {
				f.add(r)
			}
			r = report{"message", *id, ""}
		}
	}
	return false
}
