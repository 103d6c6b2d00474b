package clients_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// forEach runs a test with each client, all in parallel: they mostly wait to reconnect.
func forEach(t *testing.T, test func(t *testing.T, c client, s *server, r *relay)) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, e2e.Options{Args: []string{"--cors-origin", pages.URL}})
			test(t, c, s, startRelay(t, s))
		})
	}
}

// TestResumeAfterKill: a client receives what was published while it was away, after a kill and a restart that it
// noticed, once it has reconnected.
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

// TestResumeBeforeFirstEvent: a client that is cut off before its first event has its cursor from the open event,
// and misses nothing.
func TestResumeBeforeFirstEvent(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, c client, s *server, r *relay) {
		old := s.publish(t, 2)
		r.hold()
		f, version := c.follow(t, r.stream())
		if got := f.opens(t); got != old[1].ID {
			t.Fatalf("the open event has ID %s, want the newest one, %s", got, old[1].ID)
		}
		missed := s.publish(t, 3) // which the server sends, and the client does not receive
		r.admit()

		f.opens(t)
		f.gets(t, missed...)
		f.gets(t, s.publish(t, 3)...)
		checkRequests(t, r, version, "", old[1].ID)
	})
}

// TestStopAt204: the end of a topic is reported, and a 204 stops a client that reconnects after it.
func TestStopAt204(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, c client, s *server, r *relay) {
		f, version := c.follow(t, r.stream())
		f.opens(t)
		f.gets(t, s.publish(t, 1)...)
		end := s.end(t)
		f.gets(t, end, report{Type: "stopped"})
		if c.lacks&stops != 0 { // the program closed it
			checkRequests(t, r, version, "")
		} else {
			checkRequests(t, r, version, "", end.ID)
		}
	})
}

// TestResumeWhateverCame: a client that was notified of the server's shutdown, was disconnected, or reconnects
// after some of the events it missed were trimmed, receives the rest once and in order. The same holds for events
// of any size, except a line longer than the client accepts.
func TestResumeWhateverCame(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, c client, s *server, r *relay) {
		f, version := c.follow(t, r.stream())
		f.opens(t)
		f.gets(t, s.publish(t, 3)...)

		s.Stop()
		s.restart(t)
		missed := s.publish(t, 3)
		f.tells(t, "tidings.bye", "shutdown")
		f.opens(t)
		f.gets(t, missed...)

		s.disconnect(t)
		missed = s.publish(t, 3)
		f.tells(t, "tidings.bye", "disconnected")
		f.opens(t)
		f.gets(t, missed...)

		r.refuse()
		r.awaitRefused(t)
		missed = s.publish(t, 30)
		s.trim(t, missed[25])
		r.admit()
		f.tells(t, "tidings.gap", "expired")
		f.opens(t)
		f.gets(t, missed[25:]...)

		for _, size := range []int{10, 60 << 10, 300 << 10, 1_000_000, 11} {
			f.gets(t, s.publishData(t, listOf(size))...)
		}
		if c.lacks&longLines == 0 {
			text := `"` + strings.Repeat("线", 300<<10) + `"` // a single token
			f.gets(t, s.publishData(t, text, listOf(12))...)
		}
		t.Logf("%s was given all", version)
	})
}

// listOf returns about this many bytes of JSON.
func listOf(size int) string {
	item := `{"order":1,"name":"a line of an order"},`
	return `{"items":[` + strings.Repeat(item, size/len(item)) + `{}]}`
}

// TestStopAt401: a client whose token is no longer valid stops. The token is in the URL, because some clients
// cannot send headers.
func TestStopAt401(t *testing.T) {
	t.Parallel()
	for _, c := range clients {
		if c.lacks&stops != 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keys := []string{rand.Text() + rand.Text(), rand.Text() + rand.Text()}
			s := startServer(t, e2e.Options{Args: []string{"--cors-origin", pages.URL,
				"--allow-query-token", "--jwt-key", keys[0]}})
			r := startRelay(t, s)
			f, version := c.follow(t, r.stream()+"?access_token="+newToken(t, keys[0]))
			id := f.opens(t)
			s.Stop()
			s.options.Args[len(s.options.Args)-1] = keys[1]
			s.restart(t)
			f.tells(t, "tidings.bye", "shutdown")
			f.gets(t, report{Type: "stopped"})
			got := r.awaitRequests(t, 2)
			t.Logf("%s sent Last-Event-ID %q", version, got)
			// A request that meets the first server while it closes is not answered, and made again.
			if got = slices.Compact(got); !slices.Equal(got, []string{"", id}) {
				t.Errorf("requests with Last-Event-ID %q, want none and %s", got, id)
			}
		})
	}
}

// TestFetchEventSourceByDefault shows why testdata/fetch.js sets its options: by default the library takes the end
// of any response for the end of the stream, and retries after a 204.
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

// checkRequests expects that the client requested a stream exactly with these Last-Event-IDs.
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
