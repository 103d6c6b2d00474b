package clients_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// client is software that reads event streams.
type client struct {
	name string

	// follow starts to follow a stream until the test ends, and returns the software's version. It skips the test
	// if the software is not installed.
	follow func(t *testing.T, url string) (*follower, string)

	lacks int // behaviour of a careful client that it lacks
}

const (
	stops     = 1 << iota // it retries forever, whatever the response, unless the program closes it
	longLines             // it reads no lines of 128 KiB or more
)

var clients = []client{
	{"Chromium EventSource", chromiumEventSource, 0},
	{"fetch-event-source in Chromium", fetchEventSource, 0},
	{"eventsource 1", node("eventsource-1"), 0},
	{"eventsource 2", node("eventsource-2"), 0},
	{"eventsource 3", node("eventsource-3"), 0},
	{"eventsource 4", node("eventsource"), 0},
	{"eventsource 5", node("eventsource-5"), 0},
	{"undici", node("undici"), 0},
	{"launchdarkly-eventsource", node("launchdarkly-eventsource"), 0},
	{"reconnecting-eventsource", node("reconnecting-eventsource"), stops},
	{"eventsource-client", node("eventsource-client"), 0},
	{"fetch-event-stream", node("fetch-event-stream"), 0},
	{"go-sse", goSSE, 0},
	{"Scanner", scanner, longLines},
	{"curl", curl, 0},
	{"aiohttp", python("aiohttp"), 0},
	{"aiohttp by default", python("aiohttp-default"), longLines},
	{"httpx", python("httpx"), 0},
	{"OkHttp", javaClient("okhttp"), 0},
	{"Java HttpClient", javaClient("java"), 0},
	{"Symfony", symfony, 0},
}

// report is an event as a client reported it, or, of type "stopped", that the client has given up.
type report struct{ Type, ID, Data string }

// parseReport parses a line that a client wrote: type, ID and data, separated by tabs.
func parseReport(line string) report {
	fields := append(strings.SplitN(line, "\t", 3), "", "")
	return report{fields[0], fields[1], fields[2]}
}

// follower is a running client.
type follower struct{ reports chan report }

func newFollower() *follower { return &follower{make(chan report, 1024)} }

// add adds a report, unless nobody reads them any more.
func (f *follower) add(r report) {
	select {
	case f.reports <- r:
	default:
	}
}

func (f *follower) next(t *testing.T) report {
	t.Helper()
	select {
	case r := <-f.reports:
		return r
	case <-time.After(e2e.Patience):
		t.Fatal("the client reports nothing")
		return report{}
	}
}

// opens expects that a stream was opened, and returns the ID that the client now holds.
func (f *follower) opens(t *testing.T) string {
	t.Helper()
	r := f.next(t)
	if r.Type != "tidings.open" || r.ID == "" {
		t.Fatalf("the client reports %q, want an open event", r)
	}
	return r.ID
}

// tells expects a control event next, with this reason.
func (f *follower) tells(t *testing.T, kind, reason string) {
	t.Helper()
	r := f.next(t)
	var data struct{ Reason string }
	err := json.Unmarshal([]byte(r.Data), &data)
	if err != nil || r.Type != kind || data.Reason != reason {
		t.Fatalf("the client reports %q, want %s because of %s", r, kind, reason)
	}
}

// gets expects exactly these reports next, in order.
func (f *follower) gets(t *testing.T, want ...report) {
	t.Helper()
	for i, want := range want {
		if got := f.next(t); got != want {
			t.Fatalf("report %d is %.200q, want %.200q", i, got, want)
		}
	}
}
