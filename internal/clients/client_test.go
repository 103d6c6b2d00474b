package clients_test

import (
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// client is software that reads event streams.
type client struct {
	name string

	// follow begins to follow a stream until the test ends, and says by which version. It skips the
	// test when the software is not there.
	follow func(t *testing.T, url string) (*follower, string)
}

var clients = []client{
	{"Chromium EventSource", chromiumEventSource},
	{"fetch-event-source in Chromium", fetchEventSource},
	{"eventsource", node("eventsource")},
	{"undici", node("undici")},
	{"go-sse", goSSE},
	{"curl", curl},
}

// report is an event as a client gave it out, or, of type "stopped", that the client has given up.
type report struct{ Type, ID, Data string }

// parseReport reads a line that a client wrote: type, ID and data, with tabs between.
func parseReport(line string) report {
	fields := append(strings.SplitN(line, "\t", 3), "", "")
	return report{fields[0], fields[1], fields[2]}
}

// follower is a client at work.
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

// gets expects exactly these reports next, one after the other.
func (f *follower) gets(t *testing.T, want ...report) {
	t.Helper()
	for i, want := range want {
		if got := f.next(t); got != want {
			t.Fatalf("report %d is %q, want %q", i, got, want)
		}
	}
}
