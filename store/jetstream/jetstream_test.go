package jetstream_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// logger returns a logger whose output is printed if the test fails.
func logger(t testing.TB) *slog.Logger {
	wrote := new(e2e.Output)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("a node wrote:\n%s", wrote.String())
		}
	})
	return slog.New(slog.NewTextHandler(wrote, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func connect(t testing.TB, c *natstest.Cluster, stream string, replicas int) *jetstream.Sequencer {
	t.Helper()
	o := jetstream.Options{URLs: c.URLs(), Stream: stream, Replicas: replicas, Lossy: true, Logger: logger(t)}
	if replicas == 1 { // no other leader can be elected
		o.Settle = 2 * time.Second
	}
	return connectTo(t, o)
}

func connectTo(t testing.TB, o jetstream.Options) *jetstream.Sequencer {
	t.Helper()
	var err error
	for range 100 { // a cluster does not have a leader at once
		var s *jetstream.Sequencer
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		s, err = jetstream.Connect(ctx, o)
		cancel()
		if err == nil {
			return s
		}
		if !errors.Is(err, store.ErrUnavailable) {
			break
		}
	}
	t.Fatal(err)
	return nil
}

// node is a log and its sequencer.
type node struct {
	*bolt.Log
	seq *jetstream.Sequencer
}

func (n *node) Close() error {
	defer n.seq.Close()
	return n.Log.Close()
}

func open(t testing.TB, dir string, opts storetest.Options, seq *jetstream.Sequencer) *node {
	t.Helper()
	log, err := bolt.Open(dir, bolt.Options{Now: opts.Now, KeyWindow: opts.KeyWindow,
		MaxKeys: opts.MaxKeys, MaxMarks: opts.MaxMarks, Sequencer: seq, SequenceSlack: opts.SequenceSlack,
		Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return &node{log, seq}
}

// warnings counts lines of a log.
type warnings struct{ n atomic.Int32 }

func (w *warnings) Write(line []byte) (int, error) {
	w.n.Add(1)
	return len(line), nil
}

// TestCloseIsQuiet: closing a connection is not logged as losing it.
func TestCloseIsQuiet(t *testing.T) {
	c := natstest.Start(t, 1)
	connect(t, c, "LOG", 1).Close() // makes the stream
	var logged warnings
	logger := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for range 3 { // the client calls back some time after it is closed
		seq, err := jetstream.Connect(t.Context(),
			jetstream.Options{URLs: c.URLs(), Stream: "LOG", Replicas: 1, Lossy: true, Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		seq.Close()
	}
	if n := logged.n.Load(); n > 0 {
		t.Errorf("%d warnings of closing 3 connections", n)
	}
}

// TestSilence: a stream without publishes does not count as silent; a server that hangs does.
func TestSilence(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a server that hangs")
	}
	c := natstest.Start(t, 1)
	seq := connect(t, c, "silence", 1)
	node := open(t, t.TempDir(), storetest.Options{}, seq)
	defer node.Close()
	await := func(what string, is func(silence time.Duration) bool) {
		t.Helper()
		e2e.Eventually(t, what, func() bool {
			time.Sleep(10 * time.Millisecond) // there is no notification, and others need the processor
			return is(seq.Silence())
		})
	}
	await("second in which nothing came", func(d time.Duration) bool { return d > 900*time.Millisecond })
	await("word of a quiet stream", func(d time.Duration) bool { return d < 500*time.Millisecond })
	c.Stop(0)
	await("silence", func(d time.Duration) bool { return d > 3*time.Second })
	c.Continue(0)
	await("word from a server that is back", func(d time.Duration) bool { return d < time.Second })
}

// streamOf returns the name of a directory's stream.
func streamOf(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:8])
}

// TestConformance: a log on a stream is a log like any other, also if its mirror is lost at each close.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("two hundred streams")
	}
	c := natstest.Start(t, 1)
	for name, lost := range map[string]bool{"kept": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			if lost && os.Getenv("TIDINGS_FULL") == "" {
				t.Skip("takes minutes: TIDINGS_FULL=1")
			}
			storetest.Run(t, func(t testing.TB, dir string, opts storetest.Options) store.Log {
				if lost {
					if err := os.RemoveAll(filepath.Join(dir, "log.db")); err != nil {
						t.Fatal(err)
					}
				}
				return open(t, dir, opts, connect(t, c, streamOf(dir), 1))
			})
		})
	}
}

// TestCluster: each of three servers is killed in turn while two nodes publish under the same keys. Nothing
// is lost, stored twice or out of order, and both agree with a node that joins later.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("kills servers")
	}
	c := natstest.Start(t, 3)
	nodes := []*node{
		open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 3)),
		open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 3)),
	}
	var mu sync.Mutex
	ids := make(map[string]store.ID)
	var publishing sync.WaitGroup
	stop := make(chan struct{})
	end := sync.OnceFunc(func() {
		close(stop)
		publishing.Wait()
	})
	t.Cleanup(end)
	for _, n := range nodes {
		publishing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := time.Duration(i).String()
				results, err := n.AppendOnce(context.Background(), []store.Group{{Key: key,
					Drafts: []store.Draft{{Topic: "a", Data: []byte(key)}}}})
				switch {
				case err == nil:
					mu.Lock()
					if old, ok := ids[key]; ok && old != results[0].IDs[0] {
						t.Errorf("key %s is at %s and at %s", key, old, results[0].IDs[0])
					}
					ids[key] = results[0].IDs[0]
					mu.Unlock()
				case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrQueueFull),
					errors.Is(err, store.ErrOutcomeUnknown) && !errors.Is(err, store.ErrFailed):
					i-- // again, under its key
				default:
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	stored := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(ids)
	}
	more := func(what string) {
		t.Helper()
		from := stored()
		c.Eventually("LOG", "event after "+what, func() bool { return stored() >= from+20 })
	}
	more("the start")
	for i := range 3 {
		c.Kill(i)
		more("a kill")
		c.Run(i)
		more("its return")
		c.Stop(i)
		more("a stop")
		c.Continue(i)
		more("its going on")
	}
	end()
	for _, n := range nodes { // the last server to continue may take a while
		c.Eventually("LOG", "node that is up to date", func() bool {
			err := n.CatchUp(t.Context())
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		})
		if s := n.Stats().Sequence; s.Lag > 0 || s.Attempts == 0 {
			t.Errorf("up to date: %+v", s)
		}
	}
	late := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 3))
	for _, n := range nodes {
		storetest.Agree(t, n, late)
		storetest.Check(t, n)
	}
	for key, id := range ids {
		if e, err := late.Get(id); err != nil || string(e.Data) != key {
			t.Errorf("key %s: %+v, %v", key, e, err)
		}
	}
	for _, n := range append(nodes, late) {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}
