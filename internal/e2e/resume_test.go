package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
)

const resumeEvents = 300

// TestResumeAfterKill: after a kill and a restart, and before anything new is published, every ID is a cursor that
// returns exactly what follows it, even for a filter that does not match the ID's own topic.
func TestResumeAfterKill(t *testing.T) {
	ctx, client := newClient(t)
	dir := t.TempDir()
	h := publishAndKill(t, ctx, client, dir)
	server := start(t, dir)
	resumeEverywhere(t, ctx, client, server.URL(), h)
	h.Log = readLog(t, ctx, client, server.URL())
	judge(t, h)
}

// TestResumeAfterTrim is the same after the newest event, and with it its topic, has been trimmed: the head of the log
// is then no longer an event.
func TestResumeAfterTrim(t *testing.T) {
	ctx, client := newClient(t)
	dir := t.TempDir()
	h := publishAndKill(t, ctx, client, dir)

	log := openStore(t, dir, bolt.Options{})
	newest, err := log.Get(log.Head())
	if err != nil {
		t.Fatal(err)
	}
	trimmed := filter(t, newest.Topic)
	n, err := log.Trim(ctx, trimmed, store.MaxID)
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, log)
	for _, a := range h.Attempts {
		if trimmed.Match(a.Topic) {
			h.Trimmed = append(h.Trimmed, e2e.Entry{ID: a.ID, Message: a.Message})
		}
	}
	if n == 0 || n != len(h.Trimmed) {
		t.Fatalf("trimmed %d events of %s, want %d", n, newest.Topic, len(h.Trimmed))
	}

	server := start(t, dir)
	resumeEverywhere(t, ctx, client, server.URL(), h)
	h.Log = readLog(t, ctx, client, server.URL())
	if want := resumeEvents - n; len(h.Log) != want {
		t.Errorf("%d events are left, want %d", len(h.Log), want)
	}
	judge(t, h)
}

// publishAndKill publishes to three topics in a random order, and kills the server.
func publishAndKill(t *testing.T, ctx context.Context, client *http.Client,
	dir string) *e2e.History {
	t.Helper()
	random := rand.New(rand.NewPCG(seed(t), 0))
	server := start(t, dir)
	var publishers []*e2e.Publisher
	for i := range 3 {
		publishers = append(publishers,
			&e2e.Publisher{Number: i, Topic: fmt.Sprintf("resume.%d", i)})
	}
	h := &e2e.History{}
	for range resumeEvents {
		p := publishers[random.IntN(len(publishers))]
		if err := p.Publish(ctx, client, server.URL()); err != nil {
			t.Fatal(err)
		}
		h.Attempts = append(h.Attempts, p.Attempts[len(p.Attempts)-1])
	}
	server.Kill()
	return h
}

// resumeEverywhere resumes from every ID ever acknowledged and from the start, each with its own connection, for
// several filters. Odd ones send the cursor in the URL, even ones in the header.
func resumeEverywhere(t *testing.T, ctx context.Context, client *http.Client, url string,
	h *e2e.History) {
	t.Helper()
	cursors := []store.ID{{}}
	for _, a := range h.Attempts {
		cursors = append(cursors, a.ID)
	}
	for _, patterns := range [][]string{{">"}, {"resume.0"}, {"resume.0", "resume.1"},
		{"resume.2"}} {
		for i, id := range cursors {
			c := &e2e.Consumer{Name: fmt.Sprintf("%s after %s", patterns, id),
				Filter: filter(t, patterns...)}
			if c.Start = "since=latest"; i%2 == 1 {
				c.Start = "after=" + id.String()
			} else {
				c.Resume(id)
			}
			if err := c.Read(ctx, client, url, e2e.UntilLive); err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			if got := c.Connections[0].After; got != id {
				t.Errorf("%s: the open event names %s", c.Name, got)
			}
			h.Consumers = append(h.Consumers, c)
		}
	}
}

func judge(t *testing.T, h *e2e.History) {
	t.Helper()
	t.Log(summary(h))
	if err := e2e.Validate(h); err != nil {
		t.Error(err)
	}
}
