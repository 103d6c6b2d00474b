package clients_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"runtime"
	"testing"

	"tidings/internal/e2e"
	"tidings/store"
)

// TestMain sets these before any test runs.
var (
	binary string           // the command under test
	pages  *httptest.Server // of what browsers load, at another origin than the servers
)

func TestMain(m *testing.M) {
	pages = httptest.NewServer(http.HandlerFunc(servePage))
	code := e2e.Main(m, &binary, 32)
	pages.Close()
	os.Exit(code)
}

// server is a server that can be killed and started again at the same address, over the same log.
type server struct {
	*e2e.Server
	options e2e.Options
}

func startServer(t *testing.T, o e2e.Options) *server {
	t.Helper()
	o.Binary, o.DataDir = binary, t.TempDir()
	o.Args = append([]string{"--listen", freeAddr(t)}, o.Args...)
	return &server{e2e.Start(t, o), o}
}

// restart starts the server again after a Kill.
func (s *server) restart(t *testing.T) {
	t.Helper()
	s.Server = e2e.Start(t, s.options)
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// freeAddr returns an address to listen at. It stays free, because nobody else draws the same one
// of 127.0.0.0/8.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(ownIP().String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// ownIP draws an address of this host. Only Linux answers at all of 127.0.0.0/8.
func ownIP() net.IP {
	if runtime.GOOS != "linux" {
		return net.IPv4(127, 0, 0, 1)
	}
	return net.IPv4(127, byte(1+rand.N(254)), byte(rand.N(256)), byte(1+rand.N(254)))
}

// newClient returns an HTTP client, and a context that ends everything that is asked through it
// before the test ends.
func newClient(t *testing.T) (context.Context, *http.Client) {
	t.Helper()
	client := e2e.NewHTTPClient()
	ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
	t.Cleanup(func() { cancel(); client.CloseIdleConnections() })
	return ctx, client
}

// publish publishes n events of topic "orders" and returns what a client is to report of each.
func (s *server) publish(t *testing.T, n int) []report {
	t.Helper()
	ctx, client := newClient(t)
	var events []report
	for i := range n {
		data := fmt.Sprintf(`{"order":%d}`, i)
		id, _, err := e2e.Publish(ctx, client, s.URL(), "orders", []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, report{"message", id.String(), data})
	}
	return events
}

// end ends the topic "orders", and returns what a client is to report of that.
func (s *server) end(t *testing.T) report {
	t.Helper()
	ctx, client := newClient(t)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		s.URL()+"/v1/topics/orders/end", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	id, err := store.ParseID(path.Base(resp.Header.Get("Location")))
	if err != nil {
		t.Fatal(err)
	}
	return report{"tidings.end", id.String(), `{"topic":"orders"}`}
}
