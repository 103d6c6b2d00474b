package e2e_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
)

// binary is the command under test. TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) {
	if order := os.Getenv(childEnv); order != "" {
		childMain(order)
	}
	os.Exit(e2e.Main(m, &binary, 0))
}

func start(t *testing.T, dataDir string, args ...string) *e2e.Server {
	t.Helper()
	return e2e.Start(t, e2e.Options{Binary: binary, DataDir: dataDir, Args: args})
}

// full reports whether to run the long versions.
func full() bool { return os.Getenv("TIDINGS_FULL") == "1" }

// seed returns the seed of all random choices of a test, and logs it so that they can be repeated.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("TIDINGS_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("TIDINGS_SEED: %v", err)
		}
	}
	t.Logf("repeat with TIDINGS_SEED=%d", n)
	return n
}

// newClient returns an HTTP client, and a context that ends all its requests before the test ends.
func newClient(t *testing.T) (context.Context, *http.Client) {
	t.Helper()
	client := e2e.NewHTTPClient()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); client.CloseIdleConnections() })
	return ctx, client
}

func readLog(t *testing.T, ctx context.Context, client *http.Client, url string) []e2e.Entry {
	t.Helper()
	log, err := e2e.ReadLog(ctx, client, url)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func filter(t *testing.T, patterns ...string) store.Filter {
	t.Helper()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// openStore opens the log of a server that is not running.
func openStore(t *testing.T, dir string, o bolt.Options) *bolt.Log {
	t.Helper()
	log, err := bolt.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func closeStore(t *testing.T, log *bolt.Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
