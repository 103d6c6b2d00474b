package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/store"
)

// clockLog is what GET /v1/log reports about the clock.
type clockLog struct {
	Events int
	Clock  struct {
		Time     time.Time
		Held     bool
		CountsIn *float64 `json:"counts_in_seconds"`
	}
}

func getClockLog(t *testing.T, url string) (log clockLog) {
	t.Helper()
	_, body := fetch(t, url+"/v1/log", "")
	if err := json.Unmarshal([]byte(body), &log); err != nil {
		t.Fatal(err)
	}
	return log
}

// awaitEvents waits until this many events are left.
func awaitEvents(t *testing.T, url string, want int) (log clockLog) {
	t.Helper()
	e2e.Eventually(t, fmt.Sprintf("log of %d events", want), func() bool {
		log = getClockLog(t, url)
		return log.Events == want
	})
	return log
}

// importAged creates a log of this many events, the newest of that age, and returns its directory.
func importAged(t *testing.T, events int, age time.Duration) (dir string) {
	t.Helper()
	var lines strings.Builder
	first := time.Now().Add(-age - time.Duration(events)*time.Minute)
	for i := range events {
		id := store.FirstIDAt(first.Add(time.Duration(i+1) * time.Minute))
		fmt.Fprintf(&lines, `{"id":%q,"topic":"orders","data":1}`+"\n", id)
	}
	dir = t.TempDir()
	runWith(t.Context(), nil, strings.NewReader(lines.String()), "import", "--data-dir",
		dir).ended(t, exitOK)
	return dir
}

// TestStartFarAhead: to a server whose clock is 31 days ahead, its log looks 31 days old. It deletes by number, but
// not by age until the clock is confirmed; a publish or another start does not change that.
func TestStartFarAhead(t *testing.T) {
	dir := importAged(t, 100, 31*24*time.Hour)
	for _, left := range []int{50, 40} {
		t.Run("", func(t *testing.T) {
			url := serving(t, "--data-dir", dir, "--retain-age", "30d", "--retain-events",
				fmt.Sprint(left), "--trim-interval", "10ms")
			runCLI(t, "publish", "--url", url, "orders", "1").ended(t, exitOK)
			log := awaitEvents(t, url, left)
			if !log.Clock.Held || log.Clock.CountsIn == nil || *log.Clock.CountsIn < 23*3600 ||
				time.Since(log.Clock.Time).Abs() > time.Minute {
				t.Errorf("the log says %+v", log)
			}
			if _, metrics := fetch(t, url+"/metrics", ""); !strings.Contains(metrics,
				"tidings_retention_held 1\n") {
				t.Error("no metric says that retention is held")
			}
			if left == 40 {
				told := strings.TrimSpace(runCLI(t, "trust-clock", "--url", url).ended(t, exitOK).stdout)
				if _, err := time.Parse(time.RFC3339, told); err != nil {
					t.Errorf("trust-clock printed %q, want the time", told)
				}
				if log := awaitEvents(t, url, 2); log.Clock.Held || log.Clock.CountsIn != nil {
					t.Errorf("the log says %+v", log)
				}
			}
		})
	}
}

// TestStartNotFarAhead: with newer events beside them, old ones are deleted at once.
func TestStartNotFarAhead(t *testing.T) {
	dir := importAged(t, 100, 29*24*time.Hour)
	url := serving(t, "--data-dir", dir, "--retain-age", "41760m50s", "--trim-interval", "10ms")
	if log := awaitEvents(t, url, 1); log.Clock.Held {
		t.Errorf("the log says %+v", log)
	}
}

func TestTrustClockFailures(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/v1/clock/trust" {
			t.Errorf("got %s %s", r.Method, r.URL)
		}
		io.WriteString(w, "{}")
	})
	runCLI(t, "trust-clock", "--url", url).want(t, exitFailure, "", "without a time")
	gone := httptest.NewServer(nil)
	gone.Close()
	runCLI(t, "trust-clock", "--url", gone.URL).want(t, exitFailure, "", "no answer from the server")
}
