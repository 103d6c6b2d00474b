// Package natstest runs NATS servers for tests, as child processes.
package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tidings/internal/e2e"
)

// Cluster is some servers that know each other. Each syncs before it acknowledges.
type Cluster struct {
	t       testing.TB
	binary  string
	servers []*server
}

type server struct {
	dir, config            string
	client, monitor, route string // addresses
	process                *exec.Cmd
	ended                  chan struct{}
}

// build builds the server that internal/natstest/server/go.mod names.
var build = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir, err := os.MkdirTemp("", "natstest")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "nats-server")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/nats-io/nats-server/v2")
	cmd.Dir = filepath.Join(filepath.Dir(file), "server")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the NATS server: %w\n%s", err, out)
	}
	return binary, nil
})

// Start starts n servers, which run until the test ends.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{t: t, binary: binary}
	var routes []string
	for range n {
		s := &server{dir: t.TempDir(), client: address(t), monitor: address(t), route: address(t)}
		c.servers = append(c.servers, s)
		routes = append(routes, fmt.Sprintf("%q", "nats://"+s.route))
	}
	for i, s := range c.servers {
		text := fmt.Sprintf("server_name: n%d\nlisten: %q\nhttp: %q\njetstream { store_dir: %q, sync_interval: always }\n",
			i, s.client, s.monitor, s.dir)
		if n > 1 {
			text += fmt.Sprintf("cluster { name: test, listen: %q, routes: [%s] }\n", s.route, strings.Join(routes, ", "))
		}
		s.config = filepath.Join(s.dir, "server.conf")
		if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Run(i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.Kill(i)
		}
	})
	return c
}

// address is one that nobody listens on. Its port is below those that systems give out, which others may
// get until the server listens, or while it is stopped.
func address(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("found no free port")
	return ""
}

// Await waits until the servers have a leader, so that streams can be made.
func (c *Cluster) Await() {
	c.t.Helper()
	e2e.Eventually(c.t, "leader of the NATS servers", func() bool {
		for _, monitor := range c.Monitors() {
			answer, err := http.Get(monitor + "/healthz")
			if err != nil {
				return false
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return false
			}
		}
		return true
	})
}

// URLs are those of the servers.
func (c *Cluster) URLs() (urls []string) {
	for _, s := range c.servers {
		urls = append(urls, "nats://"+s.client)
	}
	return urls
}

// Monitors are the addresses of the servers' monitors.
func (c *Cluster) Monitors() (urls []string) {
	for _, s := range c.servers {
		urls = append(urls, "http://"+s.monitor)
	}
	return urls
}

// Dir is where a server keeps its streams.
func (c *Cluster) Dir(i int) string { return c.servers[i].dir }

// Run starts a server that does not run.
func (c *Cluster) Run(i int) {
	c.t.Helper()
	s := c.servers[i]
	s.process, s.ended = exec.Command(c.binary, "-c", s.config), make(chan struct{})
	if err := s.process.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = s.process.Wait() // it is killed
	}()
	e2e.Eventually(c.t, "NATS server", func() bool {
		conn, err := net.Dial("tcp", s.client)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Kill kills a server; one that does not run stays so.
func (c *Cluster) Kill(i int) {
	s := c.servers[i]
	_ = s.process.Process.Kill() // fails when it has ended
	<-s.ended
}

// Stop stops a server, as one that hangs, until Continue.
func (c *Cluster) Stop(i int) { _ = c.servers[i].process.Process.Signal(syscall.SIGSTOP) }

// Continue follows Stop.
func (c *Cluster) Continue(i int) { _ = c.servers[i].process.Process.Signal(syscall.SIGCONT) }
