// Package natstest runs NATS servers for tests, as child processes.
package natstest

import (
	"encoding/json"
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
	"time"

	"tidings/internal/e2e"
)

// Cluster is a set of servers that know each other. Each syncs before it acknowledges.
type Cluster struct {
	t        testing.TB
	binary   string
	servers  []*server
	settings string          // when they start
	routes   map[link]*relay // see StartRelayed; nil without relays
	doors    []*Door
}

type server struct {
	dir, config            string
	client, monitor, route string // addresses
	process                *exec.Cmd
	ended                  chan struct{}
	wrote                  e2e.Output // by every process that ran here
}

// build builds the server that internal/natstest/server/go.mod names, a separate module because the program contains
// nothing of it. It is kept in Go's build cache.
var build = sync.OnceValues(func() (string, error) {
	var stderr strings.Builder
	cmd := exec.Command("go", "tool", "-n", "nats-server")
	cmd.Dir, cmd.Stderr = filepath.Join(here(), "server"), &stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build the NATS server: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(path)), nil
})

// Start starts one server, or the three of deploy/nats/cluster.conf, which run until the test ends. Settings are
// added to their configuration until Configure or Reload.
func Start(t testing.TB, n int, settings ...string) *Cluster {
	t.Helper()
	c := newCluster(t, n)
	c.settings = strings.Join(settings, "")
	c.start()
	return c
}

func newCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{t: t, binary: binary}
	for range n {
		c.servers = append(c.servers,
			&server{dir: t.TempDir(), client: address(t), monitor: address(t), route: address(t)})
	}
	return c
}

func (c *Cluster) start() {
	t := c.t
	t.Helper()
	for i, s := range c.servers {
		s.config = filepath.Join(s.dir, "server.conf")
		c.write(i, c.settings)
		c.Run(i)
	}
	t.Cleanup(func() {
		for i, s := range c.servers {
			c.Kill(i)
			if t.Failed() {
				t.Logf("%s wrote:\n%s", name(i), s.wrote.String())
			}
		}
	})
}

// configuration returns the configuration of a server.
func (c *Cluster) configuration(i int) string {
	s := c.servers[i]
	if len(c.servers) == 1 {
		return fmt.Sprintf("server_name: %q\nlisten: %q\nhttp: %q\n"+
			"jetstream { store_dir: %q, sync_interval: always }\n", name(i), s.client, s.monitor, s.dir)
	}
	if len(c.servers) != 3 {
		c.t.Fatalf("deploy/nats/cluster.conf is for three servers, not %d", len(c.servers))
	}
	text, err := os.ReadFile(filepath.Join(here(), "../../deploy/nats/cluster.conf"))
	if err != nil {
		c.t.Fatal(err)
	}
	own := []string{"0.0.0.0:4222", s.client, "0.0.0.0:8222", s.monitor, "/data", s.dir, "0.0.0.0:6222", s.route}
	for j, peer := range c.servers {
		route := peer.route
		if r := c.routes[link{i, j}]; r != nil {
			route = r.address()
		}
		own = append(own, name(j)+":6222", route)
	}
	if c.routes != nil {
		own = append(own, "cluster {\n", "cluster {\n"+onlyRelays)
	}
	return fmt.Sprintf("server_name: %q\n", name(i)) + strings.NewReplacer(own...).Replace(string(text))
}

// here is the directory of this file.
func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// address is an address that nobody listens on. Its port is below those that systems assign, which others may get until
// the server listens, or while it is stopped.
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

// Eventually is e2e.Eventually for what needs the stream: its patience covers the time in which a server leads the
// stream. Without one nothing can be published, and an election takes rounds of 4 to 9 s.
func (c *Cluster) Eventually(stream, what string, is func() bool) {
	c.t.Helper()
	var led time.Duration
	for began, from := time.Now(), time.Now(); !is(); from = time.Now() {
		leads := c.leads(stream)
		time.Sleep(20 * time.Millisecond) // the servers need the processor
		if leads {
			led += time.Since(from)
		}
		if led > e2e.Patience || time.Since(began) > electionPatience {
			c.t.Fatalf("after %v, in which the stream had a leader for %v, there is no %s", time.Since(began), led, what)
		}
	}
}

// electionPatience is how long servers may be without a leader.
const electionPatience = 5 * time.Minute

// leads reports whether a server reports that it leads the stream.
func (c *Cluster) leads(stream string) bool { return c.Leader(stream) >= 0 }

// Leader returns a server that reports that it leads the stream, -1 if there is none. One that is cut off may report
// it until it notices.
func (c *Cluster) Leader(stream string) int {
	for i, monitor := range c.Monitors() {
		var jsz struct {
			Accounts []struct {
				Streams []struct {
					Name    string
					Cluster struct{ Leader string }
				} `json:"stream_detail"`
			} `json:"account_details"`
		}
		answer, err := impatient.Get(monitor + "/jsz?streams=true")
		if err != nil {
			continue
		}
		err = json.NewDecoder(answer.Body).Decode(&jsz)
		answer.Body.Close()
		if err != nil || len(jsz.Accounts) == 0 {
			continue
		}
		for _, s := range jsz.Accounts[0].Streams {
			if s.Name == stream && s.Cluster.Leader == name(i) {
				return i
			}
		}
	}
	return -1
}

// impatient asks servers that may hang.
var impatient = http.Client{Timeout: time.Second}

// name is the name of a server.
func name(i int) string { return fmt.Sprintf("nats%d", i+1) }

// URLs returns the URLs of the servers.
func (c *Cluster) URLs() (urls []string) {
	for _, s := range c.servers {
		urls = append(urls, "nats://"+s.client)
	}
	return urls
}

// Monitors returns the addresses of the servers' monitors.
func (c *Cluster) Monitors() (urls []string) {
	for _, s := range c.servers {
		urls = append(urls, "http://"+s.monitor)
	}
	return urls
}

// Wrote returns what a server has logged.
func (c *Cluster) Wrote(i int) string { return c.servers[i].wrote.String() }

// Dir returns the directory where a server keeps its streams.
func (c *Cluster) Dir(i int) string { return c.servers[i].dir }

// Run starts a server that is not running.
func (c *Cluster) Run(i int) {
	c.t.Helper()
	s := c.servers[i]
	s.process = exec.Command(c.binary, "-c", s.config)
	s.process.Stderr = &s.wrote
	s.ended = make(chan struct{})
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

// Kill kills a server; one that is not running stays so.
func (c *Cluster) Kill(i int) {
	s := c.servers[i]
	_ = s.process.Process.Kill() // fails when it has ended
	<-s.ended
}

// Configure restarts a server with settings that its configuration does not have; "": without them.
func (c *Cluster) Configure(i int, settings string) {
	c.t.Helper()
	c.Kill(i)
	c.write(i, settings)
	c.Run(i)
}

// Reload is Configure for settings that a server takes over while it runs. It does not wait until it has.
func (c *Cluster) Reload(i int, settings string) {
	c.t.Helper()
	c.write(i, settings)
	_ = c.servers[i].process.Process.Signal(syscall.SIGHUP)
}

func (c *Cluster) write(i int, settings string) {
	c.t.Helper()
	if err := os.WriteFile(c.servers[i].config, []byte(c.configuration(i)+settings), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Stop suspends a server, as if it hangs, until Continue.
func (c *Cluster) Stop(i int) { _ = c.servers[i].process.Process.Signal(syscall.SIGSTOP) }

// Continue undoes Stop.
func (c *Cluster) Continue(i int) { _ = c.servers[i].process.Process.Signal(syscall.SIGCONT) }
