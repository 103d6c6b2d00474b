package jetstream_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"tidings/store"
	"tidings/store/jetstream"
)

// TestSyncedHalfAnAnswer: a monitor that goes down while it answers counts as not answering, and not as a
// fault of the stream.
func TestSyncedHalfAnAnswer(t *testing.T) {
	whole := `{"version": "2.15.2", "jetstream": {"config": {"sync_always": true}}}`
	monitor := func(answer string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = w.Write([]byte(answer)) // it fails at worst because the client has gone
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	up, down := monitor(whole), monitor(whole[:40])
	if err := jetstream.SyncedBy([]string{up, down, up})(t.Context()); err != nil {
		t.Errorf("one of three: %v", err)
	}
	if err := jetstream.SyncedBy([]string{up, down, down})(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("two of three: %v, want ErrUnavailable", err)
	}
}

// TestSyncedHTTPError: what a proxy says for a monitor says nothing about the server: it counts as not answering.
func TestSyncedHTTPError(t *testing.T) {
	page := func(status int, text string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text)) // it fails at worst because the client has gone
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	up := page(200, `{"version": "2.15.2", "jetstream": {"config": {"sync_always": true}}}`)
	for _, status := range []int{401, 404, 502, 503} {
		down := page(status, "<h1>not now</h1>")
		if err := jetstream.SyncedBy([]string{up, down, up})(t.Context()); err != nil {
			t.Errorf("HTTP %d of one of three: %v", status, err)
		}
		err := jetstream.SyncedBy([]string{down})(t.Context())
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), strconv.Itoa(status)) {
			t.Errorf("HTTP %d: %v, want ErrUnavailable with the status", status, err)
		}
	}
	if err := jetstream.SyncedBy([]string{up, page(200, "<h1>hello</h1>"), up})(t.Context()); err == nil ||
		errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a page that is not a monitor's: %v, want a fault", err)
	}
}

// TestSyncedByNone: without monitors it is not known whether the servers sync, so a stream is refused.
func TestSyncedByNone(t *testing.T) {
	if jetstream.SyncedBy(nil) != nil || jetstream.SyncedBy([]string{}) != nil {
		t.Error("a check without monitors; want nil, which Connect refuses")
	}
}
