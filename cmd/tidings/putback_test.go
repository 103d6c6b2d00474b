package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
)

// nodeOn opens a node on one NATS server as serve would, except that it purges the stream at once.
func nodeOn(t *testing.T, c *natstest.Cluster, dir string) *clustered {
	t.Helper()
	seq, err := jetstream.Connect(t.Context(),
		jetstream.Options{URLs: c.URLs(), Stream: "TIDINGS", Replicas: 1, Lossy: true})
	if err != nil {
		t.Fatal(err)
	}
	log, err := bolt.Open(dir, bolt.Options{Sequencer: seq, SequenceSlack: 1})
	if err != nil {
		seq.Close()
		t.Fatal(err)
	}
	return &clustered{Log: log, seq: seq}
}

func appendTo(t *testing.T, log store.Log, n int) (last store.ID) {
	t.Helper()
	for i := range n {
		ids, err := store.Append(t.Context(), log, []store.Draft{{Topic: "orders", ContentType: "application/json",
			Data: fmt.Append(nil, i)}})
		if err != nil {
			t.Fatal(err)
		}
		last = ids[0]
	}
	return last
}

func copyDir(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestErrorsMirrorBehind: a mirror that ends before the stream begins.
func TestErrorsMirrorBehind(t *testing.T) {
	t.Parallel()
	c, dir := natstest.Start(t, 1), t.TempDir()
	log := nodeOn(t, c, dir)
	appendTo(t, log, 5)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	old := copyDir(t, dir)
	log = nodeOn(t, c, dir)
	defer log.Close()
	last := appendTo(t, log, 50)
	for range 4 {
		if _, err := log.Retain(t.Context(), store.Retention{Whole: store.Limits{Events: 5}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("row 315: a mirror that ends before the stream begins", func(t *testing.T) {
		flags := onOne(t, c)
		flags[3] = old
		url := serving(t, flags...)
		got := runCLI(t, "tail", "--url", url, "--since", "earliest", "--limit", "5", "orders").ended(t, exitOK)
		if !strings.Contains(got.stdout, last.String()) {
			t.Errorf("stdout %q, want %s too", got.stdout, last)
		}
		if aside, _ := filepath.Glob(filepath.Join(old, "log.db.aside-*")); len(aside) != 1 {
			t.Errorf("set aside: %v", aside)
		}
	})
}

// TestErrorsPurgedByHand: a stream whose front was purged by hand, without the record that a node writes first.
func TestErrorsPurgedByHand(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	log := nodeOn(t, c, t.TempDir())
	defer log.Close()
	appendTo(t, log, 5)
	if err := log.seq.Purge(t.Context(), store.Place{Number: 3}); err != nil {
		t.Fatal(err)
	}
	t.Run("row 322: a stream that was purged by hand", func(t *testing.T) {
		flags := onOne(t, c)
		got := runCLI(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)...).ended(t, exitFailure)
		if !strings.Contains(got.stderr, "copy the log.db") {
			t.Errorf("stderr %q", got.stderr)
		}
		appendTo(t, log, 1)
	})
}

// lossyCluster returns a NATS server that has lost the last 3 of 8 events, and the directory of a mirror that has
// them.
func lossyCluster(t *testing.T) (c *natstest.Cluster, dir string, kept, last store.ID) {
	c, dir = natstest.Start(t, 1), t.TempDir()
	log := nodeOn(t, c, dir)
	kept = appendTo(t, log, 5)
	c.Kill(0)
	older := copyDir(t, c.Dir(0))
	c.Run(0)
	last = appendTo(t, log, 3)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	c.Kill(0)
	if err := errors.Join(os.RemoveAll(c.Dir(0)), os.CopyFS(c.Dir(0), os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	c.Run(0)
	return c, dir, kept, last
}

// TestErrorsPutBack: serve names the events that NATS has lost, and put-back restores them.
func TestErrorsPutBack(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits half a minute, until a stream counts as put back")
	}
	c, dir, kept, last := lossyCluster(t)
	args := func(dir string) []string {
		flags := onOne(t, c)
		flags[3] = dir
		return flags
	}
	export := func(dir string) string { return runCLI(t, "export", "--data-dir", dir).ended(t, exitOK).stdout }
	before := export(dir)
	t.Run("row 316: a stream that has lost events", func(t *testing.T) {
		got := runCLI(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args(dir)...)...).ended(t, exitLost)
		for _, want := range []string{"after " + kept.String(), "up to " + last.String(), dir, "tidings put-back"} {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("stderr %q, want %s", got.stderr, want)
			}
		}
		if export(dir) != before {
			t.Error("the mirror has something else")
		}
	})
	written := copyDir(t, dir)
	got := runCLI(t, append([]string{"put-back"}, args(dir)...)...).ended(t, exitOK)
	if want := "has 3 events again, after " + kept.String(); !strings.Contains(got.stdout, want) {
		t.Errorf("stdout %q, want %q", got.stdout, want)
	}
	t.Run("row 317: nothing is lost", func(t *testing.T) {
		got := runCLI(t, append([]string{"put-back"}, args(dir)...)...).ended(t, exitFailure)
		if !strings.Contains(got.stderr, "has everything") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
	log := nodeOn(t, c, dir)
	appendTo(t, log, 3)
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	t.Run("row 318: somebody has published since", func(t *testing.T) {
		got := runCLI(t, append([]string{"put-back"}, args(written)...)...).ended(t, exitFailure)
		if !strings.Contains(got.stderr, "nothing was put back") || !strings.Contains(got.stderr, "export --after") {
			t.Errorf("stderr %q", got.stderr)
		}
		got = runCLI(t, "export", "--after", kept.String(), "--data-dir", written).ended(t, exitOK)
		if n := strings.Count(got.stdout, "\n"); n != 3 || !strings.Contains(got.stdout, last.String()) {
			t.Errorf("export: %d lines, want the 3 that were lost: %q", n, got.stdout)
		}
	})
	t.Run("row 319: without a cluster", func(t *testing.T) {
		got := runCLI(t, "put-back", "--data-dir", dir).ended(t, exitUsage)
		if !strings.Contains(got.stderr, "--store nats") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
	t.Run("row 320: another log", func(t *testing.T) {
		other := append([]string{"put-back", "--nats-stream", "OTHER"}, args(dir)...)
		if got := runCLI(t, other...).ended(t, exitFailure); !strings.Contains(got.stderr, "restore") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
	t.Run("row 321: export after what is no ID", func(t *testing.T) {
		got := runCLI(t, "export", "--after", "x", "--data-dir", dir).ended(t, exitUsage)
		if !strings.Contains(got.stderr, "--after") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
}
