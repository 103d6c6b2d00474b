package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
)

// natsLink is a connection to a NATS server.
type natsLink struct {
	address string
	secure  bool
}

func (c natsLink) Server() (string, bool) { return c.address, c.secure }

// TestWarnIfReadable: serve warns if traffic between nodes can be read in transit.
func TestWarnIfReadable(t *testing.T) {
	for c, warns := range map[natsLink]bool{{"192.0.2.1:4222", false}: true, {"192.0.2.1:4222", true}: false,
		{"127.0.0.1:4222", false}: false, {"[::1]:4222", false}: false, {}: false} {
		var lines bytes.Buffer
		warnIfReadable(slog.New(slog.NewTextHandler(&lines, nil)), c)
		if got := strings.Contains(lines.String(), "no TLS"); got != warns {
			t.Errorf("%+v: warns %v, want %v", c, got, warns)
		}
	}
}

// TestServeNodes: each of two servers lists the streams of both and ends those of the other; a server that ends is
// no longer listed.
func TestServeNodes(t *testing.T) {
	c := natstest.Start(t, 1)
	first := serving(t, onOne(t, c, "--node-name", "first")...)
	names := func() string {
		_, body := fetch(t, first+"/v1/log", "")
		var log struct{ Nodes []struct{ Node string } }
		if err := json.Unmarshal([]byte(body), &log); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, n := range log.Nodes {
			all = append(all, n.Node)
		}
		return strings.Join(all, " ")
	}
	t.Run("two", func(t *testing.T) {
		second := serving(t, onOne(t, c)...)
		e2e.Eventually(t, "second server", func() bool {
			_, port, _ := strings.Cut(strings.TrimPrefix(second, "http://"), ":")
			return strings.Contains(names(), ":"+port) // the host's name and the port, unless a name is given
		})
		resp, err := http.Get(second + "/v1/stream")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var list struct{ Subscribers []struct{ ID, Node string } }
		e2e.Eventually(t, "stream of the second server", func() bool {
			_, body := fetch(t, first+"/v1/subscribers", "")
			if err := json.Unmarshal([]byte(body), &list); err != nil {
				t.Fatal(err)
			}
			return len(list.Subscribers) == 1
		})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete,
			first+"/v1/subscribers/"+list.Subscribers[0].ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		cut, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		cut.Body.Close()
		if cut.StatusCode != http.StatusNoContent {
			t.Errorf("ended from the first: %s", cut.Status)
		}
		if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "disconnected") {
			t.Errorf("the stream ends with %q, %v", text, err)
		}
	})
	e2e.Eventually(t, "word that the second server has ended", func() bool { return names() == "first" })
}

// TestNodesKeep: two servers trim, and only one knows the open alerts; neither deletes their events.
func TestNodesKeep(t *testing.T) {
	c := natstest.Start(t, 1)
	server := func(t *testing.T) (url string) {
		return serving(t, onOne(t, c, "--retain-events", "1", "--trim-interval", "1ms")...)
	}
	first := server(t)
	verb := func(url, command string) string {
		t.Helper()
		got := runWith(t.Context(), []string{"TIDINGS_URL=" + url}, nil, strings.Fields(command)...)
		if got.code != exitOK {
			t.Fatalf("%s: %+v", command, got)
		}
		return strings.TrimSpace(got.stdout)
	}
	e2e.Eventually(t, "one sends", func() bool {
		put := strings.Fields("alerts put orders --topic orders.>")
		return runWith(t.Context(), []string{"TIDINGS_URL=" + first}, nil, put...).code == exitOK
	})
	t.Run("two", func(t *testing.T) {
		second := server(t)
		alert := verb(second, "publish orders.eu 1")
		for _, url := range []string{first, second} {
			for range 5 {
				verb(url, "publish tickets 2")
			}
		}
		for _, url := range []string{first, second} {
			e2e.Eventually(t, "retention is done", func() bool {
				_, page := fetch(t, url+"/v1/events?topic=tickets", "")
				return strings.Count(page, `"topic":`) == 1
			})
			if status, text := fetch(t, url+"/v1/events/"+alert, ""); status != http.StatusOK {
				t.Errorf("what is open is gone: %d, %s", status, text)
			}
		}
	})
}
