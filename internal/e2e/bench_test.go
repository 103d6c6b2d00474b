package e2e_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"tidings/internal/e2e"
	bencher "tidings/internal/load"
)

// bench runs the verb.
func bench(t *testing.T, args ...string) (r bencher.Result, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"bench", "--json"}, args...)...)
	cmd.Env = append(e2e.Environ(), "TMPDIR="+t.TempDir())
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return r, string(exit.Stderr), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return r, "", 0
}

// TestBench: each mode runs, measures what it is for, and finds nothing missing.
func TestBench(t *testing.T) {
	for _, mode := range bencher.Modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r, stderr, code := bench(t, mode, "--embedded", "--duration", "300ms", "--subscribers", "5",
				"--events", "2500", "--rate", "50")
			if code != 0 || !r.Exact() || r.Mode != mode {
				t.Fatalf("exit code %d, %s, %+v", code, stderr, r)
			}
			want := map[string]bool{"published": mode != "idle", "latency": mode != "replay" && mode != "idle",
				"all received": mode != "publish" && mode != "batch"}
			if got := r.Published > 0; got != want["published"] {
				t.Errorf("%d were published", r.Published)
			}
			if got := r.Latency != nil; got != want["latency"] {
				t.Errorf("latency %+v", r.Latency)
			}
			readers := 1
			if want["all received"] {
				readers = 5
			}
			if r.Received != readers*r.Published {
				t.Errorf("%d of %d events received by %d readers", r.Received, r.Published, readers)
			}
			if mode == "replay" && r.Published != 2500 {
				t.Errorf("%d events published, want 2500", r.Published)
			}
		})
	}
}

// TestBenchLeavesOthersAlone: a server with events is not put under load without --yes, and none of its events is
// deleted; those of the benchmark are.
func TestBenchLeavesOthersAlone(t *testing.T) {
	ctx, client := newClient(t)
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: t.TempDir()})
	for range 2 {
		if _, _, err := e2e.Publish(ctx, client, server.URL(), "orders", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := bench(t, "publish", "--url", server.URL()); code != 2 ||
		!strings.Contains(stderr, "--yes") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	r, stderr, code := bench(t, "publish", "--url", server.URL(), "--yes", "--duration", "100ms")
	if code != 0 || r.Published == 0 || !r.Exact() {
		t.Errorf("exit code %d, %s, %+v", code, stderr, r)
	}
	resp, err := client.Get(server.URL() + "/v1/topics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Topics []struct {
			Topic string
			Count int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, topic := range list.Topics {
		if want := map[string]int{"orders": 2, bencher.Topic: 1}[topic.Topic]; topic.Count != want {
			t.Errorf("%s has %d events, want %d", topic.Topic, topic.Count, want)
		}
	}
}
