package clients_test

import (
	"fmt"
	"testing"

	"tidings/internal/e2e"
)

// forEach runs a test with each client, all at a time: most of it they wait to come back.
func forEach(t *testing.T, test func(t *testing.T, c client, s *server, r *relay)) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, e2e.Options{Args: []string{"--cors-origin", pages.URL}})
			test(t, c, s, startRelay(t, s))
		})
	}
}

// TestResumeAfterKill: what is published while a client is away, after a kill and a restart that it
// noticed, it is given when it is back.
func TestResumeAfterKill(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, c client, s *server, r *relay) {
		f, version := c.follow(t, r.stream())
		f.opens(t)
		before := s.publish(t, 3)
		f.gets(t, before...)

		s.Kill()
		r.refuse()
		r.awaitRefused(t)
		s.restart(t)
		missed := s.publish(t, 3)
		r.admit()

		f.opens(t)
		f.gets(t, missed...)
		f.gets(t, s.publish(t, 3)...)
		checkRequests(t, r, version, "", before[2].ID)
	})
}

// TestResumeBeforeFirstEvent: a client that is cut off when it has not been given any event yet has
// its cursor from the open event, and misses nothing.
func TestResumeBeforeFirstEvent(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, c client, s *server, r *relay) {
		old := s.publish(t, 2)
		r.hold()
		f, version := c.follow(t, r.stream())
		if got := f.opens(t); got != old[1].ID {
			t.Fatalf("the open event has ID %s, want the newest one, %s", got, old[1].ID)
		}
		missed := s.publish(t, 3) // which the server sends, and the client is not given
		r.admit()

		f.opens(t)
		f.gets(t, missed...)
		f.gets(t, s.publish(t, 3)...)
		checkRequests(t, r, version, "", old[1].ID)
	})
}

// TestStopAt204: the end of a topic is told, and a client that comes back after it is told to stop.
func TestStopAt204(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, c client, s *server, r *relay) {
		f, version := c.follow(t, r.stream())
		f.opens(t)
		f.gets(t, s.publish(t, 1)...)
		end := s.end(t)
		f.gets(t, end, report{Type: "stopped"})
		checkRequests(t, r, version, "", end.ID)
	})
}

// TestFetchEventSourceByDefault is why testdata/fetch.js sets what it sets: on its own the library
// takes the end of any answer for the end of the stream, and asks again after a 204.
func TestFetchEventSourceByDefault(t *testing.T) {
	t.Parallel()
	s := startServer(t, e2e.Options{Args: []string{"--cors-origin", pages.URL}})
	r := startRelay(t, s)
	call := fmt.Sprintf("m.follow(%q, {})", r.stream())
	f, version := followByFetch(t, call)
	f.opens(t)
	f.gets(t, s.end(t), report{Type: "stopped"})
	checkRequests(t, r, version, "")

	_, version = followByFetch(t, call)
	t.Logf("%s asked again after a 204: Last-Event-ID %q", version, r.awaitRequests(t, 3)[1:])
}

// checkRequests expects that the client asked for a stream exactly with these Last-Event-IDs.
func checkRequests(t *testing.T, r *relay, version string, want ...string) {
	t.Helper()
	got := r.awaitRequests(t, len(want))
	t.Logf("%s sent Last-Event-ID %q", version, got)
	if len(got) != len(want) {
		t.Fatalf("the client made %d requests, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("request %d has Last-Event-ID %q, want %q", i, got[i], want[i])
		}
	}
}
