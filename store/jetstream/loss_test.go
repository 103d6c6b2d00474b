package jetstream_test

import (
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
	sub, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Config, State json.RawMessage }
	into := map[string]any{"deliver_subject": sub.Subject, "no_consumers": true}
	ask(t, nc, "$JS.API.STREAM.SNAPSHOT.LOG", into, &made)
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
		_ = m.Respond(nil) // without it the next one does not come
	}
	return func() {
		if err := js.DeleteStream(t.Context(), "LOG"); err != nil {
			t.Fatal(err)
		}
		var into struct {
			Subject string `json:"deliver_subject"`
		}
		ask(t, nc, "$JS.API.STREAM.RESTORE.LOG", made, &into)
		for _, chunk := range append(chunks, nil) {
			if _, err := nc.Request(into.Subject, chunk, 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// ask asks the servers.
func ask(t *testing.T, nc *nats.Conn, subject string, question, answer any) {
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
