package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
)

const (
	stuckClients = 100
	fewMissed    = 2_000
	missedBytes  = 300
	maxExtra     = 16 << 20 // how much more many missed events may cost than few
)

// manyMissed returns a number of events that would need more than maxExtra if they were in memory.
func manyMissed() int {
	if full() {
		return 200_000
	}
	return 80_000
}

// TestMissedEventsCostNoMemory: a client that has missed many events gets them all on one connection, beside many
// clients that want the same and never read; and the server needs no more memory for that than for few. A client that
// was stuck gets everything once it reads.
func TestMissedEventsCostNoMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("the memory of another process is read from /proc")
	}
	few, many := replayPeak(t, fewMissed), replayPeak(t, manyMissed())
	t.Logf("peak of RssAnon: %d KiB with %d missed events, %d KiB with %d", few>>10, fewMissed,
		many>>10, manyMissed())
	if many > few+maxExtra {
		t.Errorf("%d missed events need %d KiB more than %d do, want at most %d", manyMissed(),
			(many-few)>>10, fewMissed, maxExtra>>10)
	}
}

// replayPeak returns the most memory that a server needed while n missed events were delivered.
func replayPeak(t *testing.T, n int) int64 {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--tail-bytes", "1MiB", "--stall-timeout", "1h"}
	if full() {
		server := start(t, dir, args...)
		fillOverHTTP(t, server.URL(), n)
		return readBesideStuck(t, server, n)
	}
	fill(t, dir, n)
	return readBesideStuck(t, start(t, dir, args...), n)
}

func readBesideStuck(t *testing.T, server *e2e.Server, n int) int64 {
	t.Helper()
	ctx, client := newStuckClient(t)
	var stuck []*e2e.Stream
	for range stuckClients {
		s, err := e2e.Subscribe(ctx, client, server.URL(), "since=earliest", "")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stuck = append(stuck, s)
	}
	var peak int64
	// the same number of frames in both runs, so that only the backlog differs
	for range manyMissed() / n {
		reader, err := e2e.Subscribe(ctx, client, server.URL(), "since=earliest", "")
		if err != nil {
			t.Fatal(err)
		}
		count := &counter{}
		count.each = func() {
			if count.events%max(1, n/500) == 0 {
				peak = max(peak, rssAnon(t, server.Pid()))
			}
		}
		count.readAll(t, "the reader", reader, n)
		reader.Close()
	}
	new(counter).readAll(t, "a client that was stuck", stuck[0], n)
	server.Kill()
	return peak
}

// TestStalledClientIsCutAndResumes: a client that does not read for the stall timeout is disconnected, and continues
// after its last ID without a loss.
func TestStalledClientIsCutAndResumes(t *testing.T) {
	const n = 20_000
	dir := t.TempDir()
	fill(t, dir, n)
	server := start(t, dir, "--tail-bytes", "1MiB", "--stall-timeout", "1s")
	ctx, client := newStuckClient(t)
	stuck, err := e2e.Subscribe(ctx, client, server.URL(), "since=earliest", "")
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	server.WaitLog(`"stream ended"`)

	count := &counter{}
	err = count.read(stuck)
	if err == nil || errors.Is(err, errUnexpected) {
		t.Fatalf("the stalled stream went on to live, or worse: %v", err)
	}
	// on a busy machine it may be cut off again while it reads
	for last := stuck.LastEventID(); err != nil; {
		t.Logf("cut off after %d of %d events: %v", count.events, n, err)
		rest, failed := e2e.Subscribe(ctx, client, server.URL(), "since=earliest", last)
		if failed != nil {
			t.Fatal(failed)
		}
		err = count.read(rest)
		last = cmp.Or(rest.LastEventID(), last)
		rest.Close()
		if errors.Is(err, errUnexpected) {
			t.Fatal(err)
		}
	}
	if count.events != n {
		t.Errorf("the client, over all connections, got %d events, want %d", count.events, n)
	}
}

// newStuckClient returns a client whose connections accept little until somebody reads.
func newStuckClient(t *testing.T) (context.Context, *http.Client) {
	t.Helper()
	ctx, client := newClient(t)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network,
		address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	}
	return ctx, client
}

// counter reads streams and checks that IDs increase, so that all counted events are distinct.
type counter struct {
	events int
	last   string
	each   func() // called after each event, if set
}

// read returns nil when the stream is live. The error says why it ended before.
func (c *counter) read(s *e2e.Stream) error {
	for {
		e, err := s.Next()
		switch {
		case err != nil:
			return err
		case e2e.UntilLive(e):
			return nil
		case e.Type == "tidings.gap" || e.Type == "tidings.bye":
			return fmt.Errorf("%w after %d events: %s %s", errUnexpected, c.events, e.Type, e.Data)
		case e2e.IsControl(e):
			continue
		case e.ID <= c.last:
			return fmt.Errorf("%w: %s after %s", errUnexpected, e.ID, c.last)
		}
		c.last = e.ID
		c.events++
		if c.each != nil {
			c.each()
		}
	}
}

// errUnexpected: the stream contains an event that it must not.
var errUnexpected = errors.New("unexpected event")

// readAll reads a stream until it is live, and wants n events from it and from those that c read before.
func (c *counter) readAll(t *testing.T, who string, s *e2e.Stream, n int) {
	t.Helper()
	if err := c.read(s); err != nil {
		t.Fatalf("%s, after %d events: %v", who, c.events, err)
	}
	if c.events != n {
		t.Errorf("%s got %d events, want %d", who, c.events, n)
	}
}

func missedData() []byte {
	return fmt.Appendf(nil, `{"text":"%s"}`,
		bytes.Repeat([]byte("x"), missedBytes-len(`{"text":""}`)))
}

// fill appends n events to the log of a server that is not running.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	log := openStore(t, dir, bolt.Options{})
	drafts := make([]store.Draft, 1000)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: "missed." + strconv.Itoa(i%10),
			ContentType: "application/json", Data: missedData()}
	}
	for left := n; left > 0; left -= len(drafts) {
		if _, err := store.Append(t.Context(), log, drafts[:min(left, len(drafts))]); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, log)
}

// fillOverHTTP publishes n events from 64 connections at once.
func fillOverHTTP(t *testing.T, url string, n int) {
	t.Helper()
	ctx, client := newClient(t)
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, _, err := e2e.Publish(ctx, client, url, "missed."+strconv.Itoa(i%10),
					missedData()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// rssAnon returns the memory of a process that is not backed by a file, in bytes; the map of the log is backed by one.
func rssAnon(t *testing.T, pid int) int64 {
	t.Helper()
	return memoryOf(t, pid, "RssAnon:")
}

// memoryOf returns a line of the kernel's account of a process's memory.
func memoryOf(t *testing.T, pid int, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte(name))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		t.Fatalf("no %s in %s", name, status)
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
