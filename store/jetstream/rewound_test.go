package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// TestRewound: servers that have lost the newest messages of the stream stop each node that has them, running, idle or
// started afterwards, with its mirror as it was. A node that never had them continues. What was lost is put back.
func TestRewound(t *testing.T) {
	for name, w := range map[string]struct {
		servers int
		lose    loss
		differ  []int // servers that still have what the others have lost
	}{
		"older copy":                          {1, copies(0), nil},
		"older copies of all three":           {3, copies(0, 1, 2), nil},
		"older copies of two of three":        {3, copies(0, 1), []int{2}},
		"last messages gone":                  {1, shortened, nil},
		"last messages gone on three servers": {3, shortened, nil},
		"snapshot":                            {1, snapshot, nil},
		"snapshot on three servers":           {3, snapshot, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && w.servers > 1 {
				t.Skip("waits for servers to elect a leader")
			}
			t.Parallel() // it mostly waits
			rewound(t, natstest.Start(t, w.servers), w.lose, w.differ)
		})
	}
}

func rewound(t *testing.T, c *natstest.Cluster, lose loss, differ []int) {
	f := &fleet{t: t, c: c}
	for range 4 {
		f.dirs = append(f.dirs, t.TempDir())
	}
	idle, busy, stopped, behind := f.join(0), f.join(1), f.join(2), f.join(3)
	f.publish(busy, "kept")
	f.upToDate(behind)
	f.close(behind)
	rewind := lose(t, c)
	f.publish(busy, "lost")
	f.upToDate(idle)
	f.upToDate(stopped)
	last := stopped.Head()
	f.close(stopped)
	was := alone(t, f.dirs[2], filepath.Join(t.TempDir(), "was"))
	rewind()

	go func() { _, _ = store.Append(context.Background(), busy, []store.Draft{{Topic: "a"}}) }()
	for _, n := range []*node{busy, idle} {
		stops(t, n)
		f.close(n)
	}
	seq := f.connect()
	defer seq.Close()
	f.diverged(f.dirs[2], seq)
	for _, dir := range f.dirs[:3] {
		storetest.Agree(t, was, alone(t, dir, filepath.Join(t.TempDir(), "is")))
	}
	for _, i := range differ {
		emptied(t, c, i)
	}
	n := f.join(3)
	f.upToDate(n)
	f.close(n)
	r, err := bolt.PutBack(t.Context(), f.dirs[2], bolt.Options{Sequencer: seq})
	if err != nil || r.Events != 5 || r.Through != last {
		t.Fatalf("put back: %+v, %v, want 5 events up to %s", r, err, last)
	}
	f.agree(was)
}

// fleet is nodes of one log.
type fleet struct {
	t    *testing.T
	c    *natstest.Cluster
	dirs []string
}

func (f *fleet) connect() *jetstream.Sequencer {
	f.t.Helper()
	return impatient(f.t, f.c, len(f.c.URLs()))
}

func (f *fleet) join(i int) *node {
	f.t.Helper()
	return open(f.t, f.dirs[i], storetest.Options{}, f.connect())
}

func (f *fleet) close(n *node) {
	f.t.Helper()
	if err := n.Close(); err != nil {
		f.t.Error(err)
	}
}

// publish appends five events, each under a key, because an election may be in progress.
func (f *fleet) publish(n *node, text string) {
	f.t.Helper()
	for i := range 5 {
		key := fmt.Sprint(text, i)
		f.c.Eventually("LOG", "event "+key, func() bool {
			_, err := n.AppendOnce(f.t.Context(), []store.Group{{Key: key, Drafts: []store.Draft{{Topic: "a",
				Data: []byte(key)}}}})
			return err == nil
		})
	}
}

// diverged waits until a mirror is refused because the stream has lost something: unavailable before that is certain.
func (f *fleet) diverged(dir string, seq *jetstream.Sequencer) {
	f.t.Helper()
	f.c.Eventually("LOG", "refusal to open", func() bool {
		_, err := bolt.Open(dir, bolt.Options{Sequencer: seq})
		if !errors.Is(err, store.ErrDiverged) && !errors.Is(err, store.ErrUnavailable) {
			f.t.Fatalf("open: %v, want ErrDiverged", err)
		}
		return errors.Is(err, store.ErrDiverged)
	})
}

func (f *fleet) upToDate(n *node) {
	f.t.Helper()
	f.c.Eventually("LOG", "node that is up to date", func() bool { return n.CatchUp(f.t.Context()) == nil })
}

// agree starts every node, two of them with new mirrors as docs/CLUSTER.md says, and compares them with a log.
func (f *fleet) agree(was store.Log) {
	f.t.Helper()
	for _, dir := range f.dirs[:2] {
		if err := os.Remove(filepath.Join(dir, "log.db")); err != nil {
			f.t.Fatal(err)
		}
	}
	for i := range f.dirs {
		n := f.join(i)
		storetest.Agree(f.t, was, n)
		storetest.Check(f.t, n)
		f.close(n)
	}
}

// impatient connects to the stream, and believes sooner than others that it was put back.
func impatient(t *testing.T, c *natstest.Cluster, replicas int) *jetstream.Sequencer {
	t.Helper()
	return connectTo(t, jetstream.Options{URLs: c.URLs(), Stream: "LOG", Replicas: replicas, Lossy: true,
		Settle: 5 * time.Second, Logger: logger(t)})
}

// TestReplaced: a stream that was deleted, or deleted and made again by another node, stops a log that followed it,
// though nobody publishes, and is refused at the next start.
func TestReplaced(t *testing.T) {
	for name, w := range map[string]struct {
		servers, events int  // that the new stream has
		again           bool // it is made again
	}{
		"deleted":                     {1, 0, false},
		"made again":                  {1, 0, true},
		"as long again":               {1, 10, true},
		"deleted on three servers":    {3, 0, false},
		"longer on three servers":     {3, 20, true},
		"made again on three servers": {3, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && w.servers > 1 {
				t.Skip("waits for servers to elect a leader")
			}
			t.Parallel() // it mostly waits
			f := &fleet{t: t, c: natstest.Start(t, w.servers), dirs: []string{t.TempDir(), t.TempDir()}}
			log := f.join(0)
			publish(t, log, 10, 10)
			if err := operator(t, f.c).DeleteStream(t.Context(), "LOG"); err != nil {
				t.Fatal(err)
			}
			if w.again {
				other := f.join(1)
				publish(t, other, w.events, 10)
				f.close(other)
			}
			f.replaced(log)
		})
	}
}

// replaced expects that the log, of the first directory, stops, and that its mirror is refused and kept.
func (f *fleet) replaced(log *node) {
	t, dir, head := f.t, f.dirs[0], log.Head()
	t.Helper()
	stops(t, log)
	f.close(log)
	seq := f.connect()
	defer seq.Close()
	if _, err := bolt.Open(dir, bolt.Options{Sequencer: seq}); !errors.Is(err, store.ErrDiverged) {
		t.Errorf("open: %v, want ErrDiverged", err)
	}
	if _, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: seq}); !errors.Is(err, store.ErrDiverged) {
		t.Errorf("put back: %v, want ErrDiverged", err)
	}
	if got := alone(t, dir, filepath.Join(t.TempDir(), "is")); got.Head() != head {
		t.Errorf("the mirror ends at %s, want %s as before", got.Head(), head)
	}
}

// TestPublishedSince: a log stops also if the stream is as long again as it was, or longer, and nothing is put back.
func TestPublishedSince(t *testing.T) {
	c, dir := natstest.Start(t, 1), t.TempDir()
	log := open(t, dir, storetest.Options{}, impatient(t, c, 1))
	publish(t, log, 5, 10)
	rewind := copies(0)(t, c)
	publish(t, log, 5, 10)
	rewind()
	other := open(t, t.TempDir(), storetest.Options{}, impatient(t, c, 1))
	publish(t, other, 8, 10)
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	stops(t, log)
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	seq := impatient(t, c, 1)
	defer seq.Close()
	if _, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: seq}); !errors.Is(err, bolt.ErrNotPrefix) {
		t.Errorf("put back: %v, want ErrNotPrefix", err)
	}
}
