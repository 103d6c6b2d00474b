// Package examples_test runs the examples against the real server, through a network that fails; those with pages, in
// Chromium. Publishers in languages other than Go, and those that need a database, run only with TIDINGS_FULL=1.
package examples_test

import (
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/sse"
)

// binary is the server under test. TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) { os.Exit(e2e.Main(m, &binary, 8)) }

// full reports whether to run the long tests.
func full() bool { return os.Getenv("TIDINGS_FULL") == "1" }

// newRandom returns a reproducible source of random numbers.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("TIDINGS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("TIDINGS_SEED: %v", err)
		}
	}
	t.Logf("repeat with TIDINGS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// build builds the Go program in dir and returns its path.
func build(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-C", dir, "-o", path,
		".").CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, out)
	}
	return path
}

// readTopic returns all events of a topic.
func readTopic(t *testing.T, url, token, topic string) []sse.Event {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	stream, err := e2e.Subscribe(t.Context(), &http.Client{Transport: bearer{transport, token}},
		url, "since=earliest&topic="+topic, "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var events []sse.Event
	for {
		event, err := stream.Next()
		switch {
		case err != nil:
			t.Fatal(err)
		case event.Type == "tidings.live":
			return events
		case !e2e.IsControl(event):
			events = append(events, event)
		}
	}
}

// bearer sends a token, if there is one, with every request.
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.RoundTripper.RoundTrip(r)
}
