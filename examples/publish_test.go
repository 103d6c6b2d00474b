package examples_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

const jwtKey = "Yw8nR2fQ6tLzK0vHc3sXe7bJ1gUdMp5a" // only for these tests

// publisher is one of the programs in the folder publish.
type publisher struct {
	name    string
	tools   []string // if one is missing, it is skipped
	command []string
}

func publishers(t *testing.T) []publisher {
	all := []publisher{{name: "go", command: []string{build(t, "publish/go")}}}
	others := []publisher{
		{"curl", []string{"bash", "curl"}, []string{"bash", "publish/publish.sh"}},
		{"python", []string{"python3"}, []string{"python3", "publish/publish.py"}},
		{"node", []string{"node"}, []string{"node", "publish/publish.mjs"}},
		{"java", []string{"java"}, []string{"java", "publish/Publish.java"}},
	}
	if !full() {
		t.Log("curl, python, node and java run only with TIDINGS_FULL=1")
		return all
	}
	return append(all, others...)
}

// missing returns the first tool that is missing.
func (p publisher) missing() (tool string, is bool) {
	for _, tool := range p.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool, true
		}
	}
	return "", false
}

// publish runs the program for an order.
func (p publisher) publish(t *testing.T, url, token string,
	order ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.command[0], append(p.command[1:], order...)...)
	cmd.Env = append(e2e.Environ(), "TIDINGS_URL="+url, "TIDINGS_TOKEN="+token,
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return strings.TrimSpace(out.String()), log.String(), err
}

// TestPublishers runs each program against a server that requires a token.
func TestPublishers(t *testing.T) {
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: t.TempDir(),
		Env: []string{"TIDINGS_JWT_KEY=" + jwtKey}})
	c := conditions{url: server.URL(), token: mint(t, "--publish", "orders", "--subscribe",
		"orders"), stranger: mint(t, "--publish", "tickets")}
	all := publishers(t)
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			if tool, is := p.missing(); is {
				t.Skipf("%s, which the example needs, is not there", tool)
			}
			t.Run("cut", func(t *testing.T) { c.cut(t, p) })
			t.Run("refused", func(t *testing.T) { c.refused(t, p) })
			t.Run("limit", func(t *testing.T) { c.limit(t, p) })
			if full() {
				t.Run("statuses", func(t *testing.T) { c.statuses(t, p) })
			}
		})
	}
	t.Run("together", func(t *testing.T) { c.together(t, all) })
}

// mint creates a token.
func mint(t *testing.T, grants ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"token"}, grants...)...)
	cmd.Env = append(e2e.Environ(), "TIDINGS_JWT_KEY="+jwtKey)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("make a token: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// conditions are where the programs run, and what may happen to them there.
type conditions struct {
	url      string
	token    string
	stranger string // a token that does not grant the topic
}

// arrived requires the order's event to be in the log once, under the ID that was printed.
func (c conditions) arrived(t *testing.T, order, printed string) {
	t.Helper()
	want := `{"order":"` + order + `","total":"79.87","currency":"EUR"}`
	var ids []string
	for _, e := range readTopic(t, c.url, c.token, "orders") {
		if string(e.Data) != want {
			continue
		}
		ids = append(ids, e.ID)
		if e.Type != "order.created" {
			t.Errorf("the event has the type %q", e.Type)
		}
	}
	if len(ids) != 1 || ids[0] != printed {
		t.Errorf("the program printed %q; the log has the order in the events %q", printed, ids)
	}
}

// again requires n identical requests.
func again(t *testing.T, f *front, n int) []request {
	t.Helper()
	seen := f.requests()
	if len(seen) != n {
		t.Fatalf("%d requests, want %d", len(seen), n)
	}
	for _, r := range seen {
		if r.key == "" || r.key != seen[0].key || r.body != seen[0].body {
			t.Errorf("requests with the keys %q and %q and the bodies %s and %s, want the same",
				seen[0].key, r.key, seen[0].body, r.body)
		}
	}
	return seen
}

// cut loses responses to publishes that were stored.
func (c conditions) cut(t *testing.T, p publisher) {
	f := newFront(t, c.url, inOrder(cut, tear))
	order := "cut-" + p.name
	id, log, err := p.publish(t, f.URL+"/", c.token, order)
	if err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	again(t, f, 3)
	c.arrived(t, order, id)
}

// statuses responds with every status that is worth a retry, once with a Retry-After.
func (c conditions) statuses(t *testing.T, p publisher) {
	f := newFront(t, c.url, inOrder(answer(429, 2), answer(408, 0), answer(500, 0), answer(502, 0),
		answer(503, 0), answer(507, 0)))
	order := "statuses-" + p.name
	id, log, err := p.publish(t, f.URL, c.token, order)
	if err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	seen := again(t, f, 7)
	// Without the header no publisher would wait longer than 100 ms here.
	if pause := seen[1].at.Sub(seen[0].at); pause < 2*time.Second {
		t.Errorf("asked to wait 2 s, the program came back after %v", pause)
	}
	c.arrived(t, order, id)
}

// refused is permanent: the program says why and does not retry.
func (c conditions) refused(t *testing.T, p publisher) {
	f := newFront(t, c.url, inOrder())
	id, log, err := p.publish(t, f.URL, c.stranger, "refused-"+p.name)
	if err == nil || id != "" {
		t.Errorf("the program ended with %v and printed %q", err, id)
	}
	for _, want := range []string{"403", "Topic is not granted", "topic-forbidden"} {
		if !strings.Contains(log, want) {
			t.Errorf("the program does not say %q: %s", want, log)
		}
	}
	again(t, f, 1)
}

// limit asks for a longer pause than the program has time for.
func (c conditions) limit(t *testing.T, p publisher) {
	f := newFront(t, c.url, inOrder(answer(503, 3600)))
	id, log, err := p.publish(t, f.URL, c.token, "limit-"+p.name)
	if err == nil || id != "" || !strings.Contains(log, "may be stored or not") ||
		!strings.Contains(log, "503") {
		t.Errorf("the program ended with %v, printed %q and said %q", err, id, log)
	}
	again(t, f, 1)
}

// together publishes the same order with all programs: they announce one event, which has one ID.
func (c conditions) together(t *testing.T, all []publisher) {
	ids := map[string][]string{}
	for _, p := range all {
		if _, is := p.missing(); is {
			continue // reported by its own test
		}
		id, log, err := p.publish(t, c.url, c.token)
		if err != nil {
			t.Fatalf("%s: %v: %s", p.name, err, log)
		}
		ids[id] = append(ids[id], p.name)
	}
	if len(ids) != 1 {
		t.Fatalf("want one ID, got %v", ids)
	}
	for id := range ids {
		c.arrived(t, "1001", id)
	}
}
