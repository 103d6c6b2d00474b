package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
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
	binary      string           // the command under test
	pages       *httptest.Server // serves what browsers load, from another origin than the servers
	javaClasses string           // a directory
)

func TestMain(m *testing.M) {
	pages = httptest.NewServer(http.HandlerFunc(servePage))
	var err error
	if javaClasses, err = os.MkdirTemp("", "tidings-clients"); err != nil {
		log.Fatal(err)
	}
	code := e2e.Main(m, &binary, 32)
	pages.Close()
	os.RemoveAll(javaClasses)
	os.Exit(code)
}

// server is a server that can be killed and restarted at the same address, over the same log.
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

// freeAddr returns an address to listen on. It stays free, because nobody else draws the same address of
// 127.0.0.0/8.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(ownIP().String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// ownIP draws an address of this host. Only Linux answers on all of 127.0.0.0/8.
func ownIP() net.IP {
	if runtime.GOOS != "linux" {
		return net.IPv4(127, 0, 0, 1)
	}
	return net.IPv4(127, byte(1+rand.N(254)), byte(rand.N(256)), byte(1+rand.N(254)))
}

// newClient returns an HTTP client, and a context that ends all its requests before the test ends.
func newClient(t *testing.T) (context.Context, *http.Client) {
	t.Helper()
	client := e2e.NewHTTPClient()
	ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
	t.Cleanup(func() { cancel(); client.CloseIdleConnections() })
	return ctx, client
}

// publish publishes n events to topic "orders" and returns the report that a client is to make of each.
func (s *server) publish(t *testing.T, n int) []report {
	t.Helper()
	var data []string
	for i := range n {
		data = append(data, fmt.Sprintf(`{"order":%d}`, i))
	}
	return s.publishData(t, data...)
}

func (s *server) publishData(t *testing.T, data ...string) (events []report) {
	t.Helper()
	ctx, client := newClient(t)
	for _, data := range data {
		id, _, err := e2e.Publish(ctx, client, s.URL(), "orders", []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, report{"message", id.String(), data})
	}
	return events
}

// end ends the topic "orders", and returns the report that a client is to make of it.
func (s *server) end(t *testing.T) report {
	t.Helper()
	header, _ := s.ask(t, http.MethodPost, "/v1/topics/orders/end")
	id, err := store.ParseID(path.Base(header.Get("Location")))
	if err != nil {
		t.Fatal(err)
	}
	return report{"tidings.end", id.String(), `{"topic":"orders"}`}
}

// trim deletes the events of topic "orders" before the given one.
func (s *server) trim(t *testing.T, before report) {
	t.Helper()
	s.ask(t, http.MethodPost, "/v1/topics/orders/trim?before="+before.ID)
}

// disconnect closes the only stream.
func (s *server) disconnect(t *testing.T) {
	t.Helper()
	var answer struct{ Subscribers []struct{ ID string } }
	e2e.Eventually(t, "a single subscriber", func() bool {
		_, body := s.ask(t, http.MethodGet, "/v1/subscribers")
		return json.Unmarshal(body, &answer) == nil && len(answer.Subscribers) == 1
	})
	s.ask(t, http.MethodDelete, "/v1/subscribers/"+answer.Subscribers[0].ID)
}

// ask sends a request without a body, which must succeed.
func (s *server) ask(t *testing.T, method, path string) (http.Header, []byte) {
	t.Helper()
	ctx, client := newClient(t)
	req, err := http.NewRequestWithContext(ctx, method, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s, %v\n%s", method, path, resp.Status, err, body)
	}
	return resp.Header, body
}
