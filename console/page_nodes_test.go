package console_test

import (
	"fmt"
	"syscall"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
)

// TestConsoleNodes: if several servers keep the log, the pages show the connections of all, with the server that each
// is on, and the servers.
func TestConsoleNodes(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	node := func(name string) []string {
		return []string{"--store", "nats", "--nats-url", c.URLs()[0], "--nats-replicas", "1", "--nats-allow-lossy",
			"--node-name", name}
	}
	s, p := newSite(t, node("east")...), newProfile(t)
	west := e2e.Start(t, e2e.Options{Binary: binary, DataDir: t.TempDir(), Args: node("west")})
	stream, err := s.client.Get(west.URL() + "/v1/stream?topic=orders")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	tb := p.openConsole(t, s, "/#/connections")
	row := func(node, topic string) string {
		return fmt.Sprintf(`$$('tbody tr').some(row => row.innerText.includes('Server: %s') && row.innerText.includes(%q))`,
			node, topic)
	}
	tb.holds(t, row("west", "orders"))
	tb.holds(t, row("east", ">"))
	tb.eval(t, `location.hash = '#/server'`)
	tb.holds(t, `['east (this one)', 'west'].every(name => $$('.server h3').some(title => title.innerText === name))`)
	west.Signal(syscall.SIGSTOP)
	defer west.Signal(syscall.SIGCONT)
	tb.eval(t, `location.hash = '#/connections'`)
	tb.sees(t, ".connections .notice", "west does not report its connections")
	tb.holds(t, "!"+row("west", "orders"))
}
