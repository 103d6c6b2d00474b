package clients_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/tmaxmax/go-sse"
)

// goSSE follows with a client library for Go.
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
			f.add(report{"message", e.LastEventID, e.Data})
		default:
			f.add(report{e.Type, e.LastEventID, e.Data})
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = conn.Connect() // which it ends with says less than that it ended
		f.add(report{Type: "stopped"})
	})
	t.Cleanup(func() { cancel(); wg.Wait(); transport.CloseIdleConnections() })
	return f, versionOf(t, "go", "list", "-m", "github.com/tmaxmax/go-sse")
}
