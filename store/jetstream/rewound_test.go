package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// A loss is a way in which the servers lose the newest messages of the stream and report nothing. It is called when
// the stream has what stays, and the function that it returns when it has more.
type loss func(t *testing.T, c *natstest.Cluster) func()

// copies puts older copies of the stores back, of these servers. The others join once those have a leader: if they
// elected one themselves, nothing would be lost.
func copies(which ...int) loss {
	return func(t *testing.T, c *natstest.Cluster) func() {
		all := len(c.URLs())
		stopped := func(change func(i int) error) {
			t.Helper()
			for i := range all {
				c.Kill(i)
			}
			for _, i := range which {
				if err := change(i); err != nil {
					t.Fatal(err)
				}
				c.Run(i)
			}
		}
		rest := func() {
			for i := len(which); i < all; i++ {
				c.Run(i)
			}
			c.Await()
		}
		aside := t.TempDir()
		older := func(i int) string { return filepath.Join(aside, fmt.Sprint(i)) }
		stopped(func(i int) error { return os.CopyFS(older(i), os.DirFS(c.Dir(i))) })
		rest()
		return func() {
			stopped(func(i int) error {
				return errors.Join(os.RemoveAll(c.Dir(i)), os.CopyFS(c.Dir(i), os.DirFS(older(i))))
			})
			if len(which) < all {
				js := operator(t, c)
				for range 10 { // so that they are in a later term than the others
					c.Eventually("LOG", "leader", func() bool { return c.Leader("LOG") >= 0 })
					stepDown(t, js)
				}
				c.Eventually("LOG", "leader", func() bool { return c.Leader("LOG") >= 0 })
			}
			rest()
		}
	}
}

// shortened makes the stream again, with its first messages.
func shortened(t *testing.T, c *natstest.Cluster) func() {
	js := operator(t, c)
	stream, err := js.Stream(t.Context(), "LOG")
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	return func() {
		var kept []*natsjs.RawStreamMsg
		for i := uint64(1); i <= info.State.LastSeq; i++ {
			m, err := stream.GetMsg(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, m)
		}
		err := js.DeleteStream(t.Context(), "LOG")
		if err == nil {
			_, err = js.CreateStream(t.Context(), info.Config)
		}
		for _, m := range kept {
			if err == nil {
				_, err = js.Publish(t.Context(), m.Subject, m.Data)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// snapshot restores the stream from a snapshot.
func snapshot(t *testing.T, c *natstest.Cluster) func() {
	js := operator(t, c)
	nc := js.Conn()
	ask := func(subject string, question, answer any) {
		t.Helper()
		b, err := json.Marshal(question)
		if err != nil {
			t.Fatal(err)
		}
		m, err := nc.Request(subject, b, 10*time.Second)
		if err == nil {
			err = json.Unmarshal(m.Data, answer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sub, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Config, State json.RawMessage }
	ask("$JS.API.STREAM.SNAPSHOT.LOG", map[string]any{"deliver_subject": sub.Subject, "no_consumers": true}, &made)
	var chunks [][]byte
	for {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Data) == 0 {
			break
		}
		chunks = append(chunks, m.Data)
		_ = m.Respond(nil) // the next chunk would be missing
	}
	return func() {
		if err := js.DeleteStream(t.Context(), "LOG"); err != nil {
			t.Fatal(err)
		}
		var into struct {
			Subject string `json:"deliver_subject"`
		}
		ask("$JS.API.STREAM.RESTORE.LOG", made, &into)
		for _, chunk := range append(chunks, nil) {
			if _, err := nc.Request(into.Subject, chunk, 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
}

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
	replicas, dirs := len(c.URLs()), []string{t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()}
	join := func(i int) *node { return open(t, dirs[i], storetest.Options{}, impatient(t, c, replicas)) }
	idle, busy, stopped, behind := join(0), join(1), join(2), join(3)
	write := func(n *node, text string) { // an election may be in progress
		t.Helper()
		c.Eventually("LOG", "event "+text, func() bool {
			_, err := n.AppendOnce(t.Context(), []store.Group{{Key: text, Drafts: []store.Draft{{Topic: "a",
				Data: []byte(text)}}}})
			return err == nil
		})
	}
	upToDate := func(n *node) {
		t.Helper()
		c.Eventually("LOG", "node that is up to date", func() bool { return n.CatchUp(t.Context()) == nil })
	}
	for i := range 5 {
		write(busy, fmt.Sprint("kept ", i))
	}
	upToDate(behind)
	if err := behind.Close(); err != nil {
		t.Fatal(err)
	}
	rewind := lose(t, c)
	for i := range 5 {
		write(busy, fmt.Sprint("lost ", i))
	}
	upToDate(idle)
	upToDate(stopped)
	last := stopped.Head()
	if err := stopped.Close(); err != nil {
		t.Fatal(err)
	}
	was := alone(t, dirs[2], filepath.Join(t.TempDir(), "was"))
	rewind()

	go func() { _, _ = store.Append(context.Background(), busy, []store.Draft{{Topic: "a"}}) }()
	for _, n := range []*node{busy, idle} {
		stops(t, n)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	seq := impatient(t, c, replicas)
	if _, err := bolt.Open(dirs[2], bolt.Options{Sequencer: seq}); !errors.Is(err, store.ErrDiverged) {
		t.Errorf("open: %v, want ErrDiverged", err)
	}
	for i, dir := range dirs[:3] {
		if got := alone(t, dir, filepath.Join(t.TempDir(), "is")); got.Head() != last {
			t.Errorf("mirror %d ends at %s, want %s as before", i, got.Head(), last)
		} else {
			storetest.Agree(t, was, got)
		}
	}
	for _, i := range differ {
		emptied(t, c, i)
	}
	n := join(3)
	upToDate(n)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	r, err := bolt.PutBack(t.Context(), dirs[2], bolt.Options{Sequencer: seq})
	if err != nil || r.Events != 5 || r.Through != last {
		t.Fatalf("put back: %+v, %v, want 5 events up to %s", r, err, last)
	}
	seq.Close()
	for _, dir := range dirs[:2] {
		if err := os.Remove(filepath.Join(dir, "log.db")); err != nil { // as docs/CLUSTER.md says
			t.Fatal(err)
		}
	}
	for i := range dirs {
		n := join(i)
		storetest.Agree(t, was, n)
		storetest.Check(t, n)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

// emptied empties the store of a server, which then copies what the others have, as docs/CLUSTER.md says.
func emptied(t *testing.T, c *natstest.Cluster, i int) {
	t.Helper()
	c.Kill(i)
	if err := os.RemoveAll(filepath.Join(c.Dir(i), "jetstream")); err != nil {
		t.Fatal(err)
	}
	c.Run(i)
	c.Await()
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
			c, dir := natstest.Start(t, w.servers), t.TempDir()
			log := open(t, dir, storetest.Options{}, impatient(t, c, w.servers))
			publish(t, log, 10, 10)
			if err := operator(t, c).DeleteStream(t.Context(), "LOG"); err != nil {
				t.Fatal(err)
			}
			if w.again {
				other := open(t, t.TempDir(), storetest.Options{}, impatient(t, c, w.servers))
				publish(t, other, w.events, 10)
				defer other.Close()
			}
			head := log.Head()
			stops(t, log)
			if err := log.Close(); err != nil {
				t.Error(err)
			}
			seq := impatient(t, c, w.servers)
			defer seq.Close()
			if _, err := bolt.Open(dir, bolt.Options{Sequencer: seq}); !errors.Is(err, store.ErrDiverged) {
				t.Errorf("open: %v, want ErrDiverged", err)
			}
			_, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: seq})
			if !errors.Is(err, store.ErrDiverged) {
				t.Errorf("put back: %v, want ErrDiverged", err)
			}
			if got := alone(t, dir, filepath.Join(t.TempDir(), "is")); got.Head() != head {
				t.Errorf("the mirror ends at %s, want %s as before", got.Head(), head)
			}
		})
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
