package jetstream_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
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
