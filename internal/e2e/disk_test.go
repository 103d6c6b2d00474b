package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/sse"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

const (
	diskPublishers  = 16
	diskSubscribers = 50
	diskPadding     = 16 << 10
)

// TestFullDisk fills the small disk of a server with 16 publishers and 50 subscribers. Publishers learn that nothing
// was stored, streams continue, and room, however it is made, lets publishing resume without a restart. At the end the
// log has everything that was acknowledged and nothing that was refused, and every subscriber has received the log.
func TestFullDisk(t *testing.T) {
	t.Run("retention makes room", func(t *testing.T) {
		// full before anything is old, even on a slow machine
		l := startLoad(t, 6<<20, "--retain-age", "15s", "--trim-interval", "100ms")
		for range 2 {
			l.again(t, refused, diskPublishers)
			l.flows(t, l.soFar())
		}
		l.end(t)
	})
	t.Run("a foreign file is removed", func(t *testing.T) {
		l := startLoad(t, 24<<20)
		l.since(t, nil, stored, diskPublishers)
		other := filepath.Join(l.disk, "other")
		free, _, err := bolt.DiskSpace(l.disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(other, make([]byte, free+1<<20), 0o600); !errors.Is(err,
			syscall.ENOSPC) {
			t.Fatalf("filling the disk: %v, want %v", err, syscall.ENOSPC)
		}
		l.again(t, refused, diskPublishers)
		l.again(t, heartbeat, diskSubscribers)
		l.server.WaitLog("disk nearly full") // from then on it does not even try to write
		full := l.soFar()
		l.ready(t, http.StatusInsufficientStorage)
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		l.ready(t, http.StatusOK)
		l.flows(t, full)
		l.end(t)
	})
	t.Run("trimmed by hand", func(t *testing.T) {
		l := startLoad(t, 24<<20)
		l.again(t, refused, diskPublishers)
		l.again(t, heartbeat, diskSubscribers)
		full := l.soFar()
		l.trim(t)
		l.flows(t, full)
		l.end(t)
	})
}

// load is publishers and subscribers of a server with a small disk.
type load struct {
	tally
	ctx        context.Context
	client     *http.Client
	disk, data string
	server     *e2e.Server
	publishers []*e2e.Publisher
	consumers  []*e2e.Consumer
	stopped    atomic.Bool
	publishing sync.WaitGroup
	reading    sync.WaitGroup
}

// What is counted, for each publisher or subscriber.
const (
	stored    = "stored by publisher"
	refused   = "refused to publisher"
	got       = "event for subscriber"
	heartbeat = "heartbeat for subscriber"
)

// startLoad starts a server on a disk of diskBytes, the subscribers, and once these have connected the publishers.
func startLoad(t *testing.T, diskBytes int64, args ...string) *load {
	t.Helper()
	l := &load{disk: storetest.SmallDisk(t, "ext4", diskBytes)}
	l.ctx, l.client = newClient(t)
	l.data = filepath.Join(l.disk, "data")
	l.server = start(t, l.data, append(args, "--heartbeat", "100ms")...)
	for i := range diskSubscribers {
		topic := fmt.Sprintf("disk.%d", i%diskPublishers)
		if i%5 == 0 {
			topic = ">"
		}
		c := &e2e.Consumer{Name: fmt.Sprintf("subscriber %d of %s", i, topic),
			Filter: filter(t, topic), Start: "since=earliest", Early: true}
		l.consumers = append(l.consumers, c)
		l.reading.Go(func() { l.read(i, c) })
	}
	t.Cleanup(l.stop)
	l.again(t, heartbeat, diskSubscribers) // so that all start at the beginning of the log
	for i := range diskPublishers {
		p := &e2e.Publisher{Number: i, Topic: fmt.Sprintf("disk.%d", i), Padding: diskPadding}
		l.publishers = append(l.publishers, p)
		l.publishing.Go(func() { l.publish(t, i, p) })
	}
	return l
}

// flows waits until every publisher has stored an event and every subscriber has received one, since full.
func (l *load) flows(t *testing.T, full map[happening]int) {
	t.Helper()
	l.since(t, full, stored, diskPublishers)
	l.since(t, full, got, diskSubscribers)
}

// ready waits until readiness returns the status.
func (l *load) ready(t *testing.T, status int) {
	t.Helper()
	e2e.Eventually(t, fmt.Sprintf("readiness of %d", status), func() bool {
		resp, err := l.client.Get(l.server.URL() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode == status
	})
}

// read is a subscriber, until its stream ends.
func (l *load) read(i int, c *e2e.Consumer) {
	_ = c.Read(l.ctx, l.client, l.server.URL(), func(e sse.Event) bool { // end checks how far it got
		switch {
		case e.Type == "tidings.heartbeat":
			l.add(heartbeat, i)
		case !e2e.IsControl(e):
			l.add(got, i)
		}
		return false
	})
}

// publish is a publisher that does not give up, and fails the test on any error but a full disk.
func (l *load) publish(t *testing.T, i int, p *e2e.Publisher) {
	for !l.stopped.Load() {
		err := p.Publish(l.ctx, l.client, l.server.URL())
		switch last := p.Attempts[len(p.Attempts)-1]; {
		case l.ctx.Err() != nil: // the test has ended
			return
		case err == nil:
			l.add(stored, i)
		case last.Outcome == e2e.NotStored && err.Error() == "507 Insufficient Storage: no-space":
			l.add(refused, i)
		default:
			t.Errorf("publisher %d: %v, outcome %v", i, err, last.Outcome)
			return
		}
	}
}

// stop ends the publishers.
func (l *load) stop() {
	l.stopped.Store(true)
	l.publishing.Wait()
}

// trim deletes everything before the newest event, topic by topic.
func (l *load) trim(t *testing.T) {
	t.Helper()
	resp, err := l.client.Get(l.server.URL() + "/v1/log")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var info struct{ Last store.ID }
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	for _, p := range l.publishers {
		tidings(t, "trim", p.Topic, "--before", info.Last.String(), "--url", l.server.URL())
	}
}

// end stops everything and judges it. The subscribers, whose streams must have lasted until now, catch up from a server
// that no longer trims.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.server.Stop()
	l.reading.Wait()
	if n := strings.Count(l.server.Log(), `"level":"ERROR"`); n > 0 {
		t.Errorf("%d errors were logged; a full disk is warned of once, not with every publish", n)
	}
	server := start(t, l.data)
	h := &e2e.History{Consumers: l.consumers, Log: readLog(t, l.ctx, l.client, server.URL())}
	for _, c := range l.consumers {
		if n := len(c.Connections); n != 1 {
			t.Errorf("%s was connected %d times before the server stopped, want once", c.Name, n)
		}
		if err := c.Read(l.ctx, l.client, server.URL(), e2e.UntilLive); err != nil {
			t.Errorf("%s catches up: %v", c.Name, err)
		}
	}
	server.Stop()
	for _, p := range l.publishers {
		h.Attempts = append(h.Attempts, p.Attempts...)
	}
	for _, a := range h.Attempts {
		// Retention, and trim, take all topics up to the same place.
		if a.Outcome == e2e.Stored && len(h.Log) > 0 && a.ID.Before(h.Log[0].ID) {
			h.Trimmed = append(h.Trimmed, e2e.Entry{ID: a.ID, Message: a.Message})
		}
	}
	t.Logf("%d events trimmed", len(h.Trimmed))
	judge(t, h)
	if report, err := bolt.Verify(t.Context(), l.data, nil); err != nil || !report.Intact() {
		t.Errorf("verify: %+v, error %v", report, err)
	}
}
