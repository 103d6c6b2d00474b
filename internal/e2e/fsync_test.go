package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
)

// Each fdatasync is delayed by this time, longer if the machine is too slow to look meanwhile.
const (
	shortestHold = 300 * time.Millisecond
	longestHold  = 16 * shortestHold
)

// TestNothingIsSeenBeforeFsync delays every fdatasync and looks for the event meanwhile, in every possible way: bbolt
// shows a transaction to readers before its last fdatasync. Nobody may see the event, and its publisher may get no
// response, before that call has returned.
func TestNothingIsSeenBeforeFsync(t *testing.T) {
	needStrace(t)
	for _, test := range []struct{ name, topic string }{{"topic that exists", "first"},
		{"new topic", "second"}} {
		t.Run(test.name, func(t *testing.T) {
			for hold := shortestHold; !holdFsync(t, test.topic, hold) && !t.Failed(); hold *= 2 {
				if hold == longestHold {
					t.Fatal("the test proves nothing")
				}
			}
		})
	}
}

// holdFsync publishes an event, and reports whether every poller looked for it while its fdatasync was held.
func holdFsync(t *testing.T, topic string, hold time.Duration) (looked bool) {
	ctx, client := newClient(t)
	dir := t.TempDir()
	openAheadOfClock(t, dir)
	trace := filepath.Join(t.TempDir(), "trace")
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: dir, Wrap: []string{
		"strace", "-f", "-o", trace, "-ttt", "-T", "-e", "trace=fdatasync,fsync",
		"-e", fmt.Sprintf("inject=fdatasync,fsync:delay_enter=%d", hold.Microseconds()),
	}})

	last, _, err := e2e.Publish(ctx, client, server.URL(), "first", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{ctx: ctx, client: client, url: server.URL(), publishing: make(chan struct{})}
	open, err := e2e.Subscribe(ctx, client, server.URL(), "since=latest", "")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for e, err := open.Next(); !e2e.UntilLive(e); e, err = open.Next() {
		if err != nil {
			t.Fatal(err)
		}
	}
	next, _ := last.Next()
	var pollers sync.WaitGroup
	pollers.Go(func() { w.readOpen(open, next) })
	pollers.Go(func() { w.poll("a new stream", w.inNewStream(next)) })
	pollers.Go(func() { w.poll("GET by ID", w.byID(next)) })

	began := time.Now()
	id, _, err := e2e.Publish(ctx, client, server.URL(), topic, []byte(`{}`))
	answered := time.Now()
	close(w.publishing)
	if err != nil {
		open.Close() // nothing will come
	}
	pollers.Wait()
	if err != nil || id != next {
		t.Fatalf("published %s (%v), want the ID after %s", id, err, last)
	}
	server.Stop()
	held, durable := lastSync(t, trace, began, answered)
	return w.judge(t, held, durable, answered)
}

// needStrace skips the test where system calls cannot be delayed.
func needStrace(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace, which holds the fsync, is not installed")
	}
	if out, err := exec.Command("strace", "-o", os.DevNull, "-e", "inject=fsync:delay_enter=1",
		"true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v: %s", err, out)
	}
}

// openAheadOfClock creates a log whose only event is an hour in the future. The IDs of the next open then increase by
// one, so the one after the first is known before it exists.
func openAheadOfClock(t *testing.T, dir string) {
	t.Helper()
	log := openStore(t, dir, bolt.Options{Now: func() time.Time {
		return time.Now().Add(time.Hour)
	}})
	_, err := store.Append(t.Context(), log,
		[]store.Draft{{Topic: "first", ContentType: "application/json", Data: []byte("{}")}})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, log)
}

// watch looks for an event from several goroutines.
type watch struct {
	ctx        context.Context
	client     *http.Client
	url        string
	publishing chan struct{} // closed when the publish has returned

	mu    sync.Mutex
	looks []look
}

// look is one result: when it came, and whether it held the event.
type look struct {
	how  string
	at   time.Time
	seen bool
	err  error
}

func (w *watch) add(how string, seen bool, err error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = append(w.looks, look{how, now, seen, err})
}

// poll looks until the event is seen, which must be soon after the publish has returned.
func (w *watch) poll(how string, find func() (bool, error)) {
	answered := false
	for !answered {
		select {
		case <-w.publishing:
			answered = true // look once more
		default:
		}
		seen, err := find()
		w.add(how, seen, err)
		if seen || err != nil {
			return
		}
	}
}

func (w *watch) inNewStream(id store.ID) func() (bool, error) {
	return func() (bool, error) {
		c := e2e.Consumer{Filter: store.All(), Start: "since=earliest"}
		err := c.Read(w.ctx, w.client, w.url, e2e.UntilLive)
		if err != nil {
			return false, err
		}
		if i := slices.IndexFunc(c.Connections[0].Items, func(i e2e.Item) bool {
			return i.Gap != nil
		}); i >= 0 {
			return true, fmt.Errorf("told of a gap: %v", *c.Connections[0].Items[i].Gap)
		}
		return slices.ContainsFunc(c.Connections[0].Items, func(i e2e.Item) bool {
			return i.ID == id
		}), nil
	}
}

func (w *watch) byID(id store.ID) func() (bool, error) {
	return func() (bool, error) {
		resp, err := w.client.Get(w.url + "/v1/events/" + id.String())
		if err != nil {
			return false, err
		}
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
			err = fmt.Errorf("answered with %s", resp.Status)
		}
		return resp.StatusCode == http.StatusOK, errors.Join(err, resp.Body.Close())
	}
}

// readOpen waits for the event on a stream that was already open.
func (w *watch) readOpen(stream *e2e.Stream, id store.ID) {
	for {
		e, err := stream.Next()
		if err != nil || e.ID == id.String() {
			w.add("an open stream", err == nil, err)
			return
		}
	}
}

// judge compares when the event was seen with when its last fdatasync was held, and reports whether every poller looked
// meanwhile.
func (w *watch) judge(t *testing.T, held, durable, answered time.Time) bool {
	t.Helper()
	if answered.Before(durable) {
		t.Errorf("the publish was answered %v before its fdatasync had returned",
			durable.Sub(answered))
	}
	looked, found := map[string]int{}, map[string]bool{}
	for _, l := range w.looks {
		switch {
		case l.err != nil:
			t.Errorf("%s: %v", l.how, l.err)
		case l.seen && l.at.Before(durable):
			t.Errorf("%s had the event %v before its fdatasync had returned", l.how,
				durable.Sub(l.at))
		case !l.seen && held.Before(l.at) && l.at.Before(durable):
			looked[l.how]++
		}
		found[l.how] = found[l.how] || l.seen
	}
	t.Logf("looks while the last fdatasync was held, for %v: %v", durable.Sub(held), looked)
	for _, how := range []string{"an open stream", "a new stream", "GET by ID"} {
		if !found[how] {
			t.Errorf("%s never had the event", how)
		}
	}
	return looked["a new stream"] > 0 && looked["GET by ID"] > 0
}

// lastSync returns when the last fdatasync between from and to began, and until when it had certainly not returned:
// strace lets the caller continue only after it has taken the second time. A line of the trace is
// "PID SECONDS.MICROSECONDS fdatasync(5) = 0 (DELAYED) <0.300301>", with the time from the first to the second at its
// end. It is split in two if another call begins in between: "fdatasync(5 <unfinished ...>",
// "<... fdatasync resumed>) = 0 …".
func lastSync(t *testing.T, trace string, from, to time.Time) (began, durable time.Time) {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	begun := map[string]time.Time{} // by PID
	line := regexp.MustCompile(`(?m)^(\d+) +(\d+\.\d+) (fdatasync\()?.*?(?:<(\d+\.\d+)>)?$`)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		pid, at, begins, took := m[1], m[2], m[3] != "", m[4]
		if begins {
			begun[pid] = time.Unix(0, 0).Add(seconds(t, at))
		}
		if took == "" {
			continue
		}
		if at := begun[pid]; from.Before(at) && at.Before(to) {
			began, durable = at, at.Add(seconds(t, took))
		}
		delete(begun, pid) // the next end belongs to another call
	}
	if began.IsZero() {
		t.Fatalf("the publish was answered without an fdatasync:\n%s", text)
	}
	return began, durable
}

func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text + "s")
	if err != nil {
		t.Fatal(err)
	}
	return d
}
