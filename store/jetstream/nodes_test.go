package jetstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// askWithin asks a node with a time limit.
func askWithin(t *testing.T, s *jetstream.Sequencer, node string, question []byte, d time.Duration) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return s.Ask(ctx, node, question, func(int) bool { return true })
}

// traffic is what a server has received, and has sent or is about to send.
type traffic struct {
	Messages int `json:"in_msgs"`
	Bytes    int `json:"out_bytes"`
}

// varz returns the traffic of the first server.
func varz(t *testing.T, c *natstest.Cluster) (all traffic) {
	t.Helper()
	r, err := http.Get(c.Monitors()[0] + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNodeAskedLate: a question is not begun once nobody waits for its answer, wherever it was held up; and without a
// connection none is kept to be sent later.
func TestNodeAskedLate(t *testing.T) {
	c := natstest.Start(t, 1)
	a, b := connect(t, c, "LOG", 1), connect(t, c, "LOG", 1)
	defer a.Close()
	defer b.Close()
	asked := make(chan string, 1000)
	stop, err := b.Listen("bb", func([]byte) {}, func(_ context.Context, q []byte) []byte {
		asked <- string(q)
		return q
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	nc, err := nats.Connect(c.URLs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	wire, err := nc.SubscribeSync("tidings.log.nodes.*.bb")
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := a.Ask(ctx, "bb", []byte("old"), func(int) bool { return true }); err != nil || <-asked != "old" {
		t.Fatal(err)
	}
	m, err := wire.NextMsg(e2e.Patience)
	if err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	late := &nats.Msg{Subject: m.Subject, Reply: nc.NewInbox(), Header: m.Header, Data: m.Data}
	if err := errors.Join(nc.PublishMsg(late), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := askWithin(t, a, "bb", []byte("new"), e2e.Patience); err != nil {
		t.Fatal(err)
	}
	for q := range asked {
		if q == "old" {
			t.Error("a question that came late was answered")
		} else if q == "new" {
			break
		}
	}
	c.Kill(0)
	e2e.Eventually(t, "node that knows that it has no connection", func() bool {
		_, err := askWithin(t, a, "bb", []byte("cut"), 100*time.Millisecond)
		return err != nil && strings.Contains(err.Error(), "no connection to NATS")
	})
}

// TestAskWithoutRoom: an answer that the asker has no room for is refused, and no more than its first piece is sent;
// the node that answers does not wait.
func TestAskWithoutRoom(t *testing.T) {
	c := natstest.Start(t, 1)
	a, b := connect(t, c, "LOG", 1), connect(t, c, "LOG", 1)
	defer a.Close()
	defer b.Close()
	contexts := make(chan context.Context, 1)
	stop, err := b.Listen("bb", func([]byte) {}, func(ctx context.Context, q []byte) []byte {
		if string(q) == "short" {
			return q
		}
		contexts <- ctx
		return make([]byte, 8<<20)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	e2e.Eventually(t, "node that answers", func() bool {
		_, err := askWithin(t, a, "bb", []byte("short"), e2e.Patience)
		return err == nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
	defer cancel()
	before := varz(t, c).Bytes
	var wanted []int
	answer, err := a.Ask(ctx, "bb", []byte("long"), func(bytes int) bool {
		wanted = append(wanted, bytes)
		return bytes <= 4<<20
	})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "no room") || answer != nil {
		t.Errorf("%d bytes, %v, want none for lack of room", len(answer), err)
	}
	if !slices.Equal(wanted, []int{8 << 20}) {
		t.Errorf("asked for room for %d bytes, want 8 MiB once", wanted)
	}
	select {
	case <-(<-contexts).Done():
	case <-time.After(e2e.Patience / 2):
		t.Error("the node that answers waits for an asker that has given up")
	}
	if n := varz(t, c).Bytes - before; n > 1<<20 {
		t.Errorf("the server has sent %d bytes of an answer that was refused", n)
	}
	if _, err := a.Ask(ctx, "bb", []byte("short"), func(int) bool { return false }); err == nil {
		t.Error("a short answer without room")
	}
}

// TestAsk: nodes send messages and questions to each other over a real server, answers arrive whole however long they
// are, and nothing of this is in the stream.
func TestAsk(t *testing.T) {
	c := natstest.Start(t, 1)
	a, b := connect(t, c, "LOG", 1), connect(t, c, "LOG", 1)
	other := connect(t, c, "OTHER", 1)
	defer a.Close()
	defer b.Close()
	defer other.Close()
	told, over := make(chan string, 10), make(chan struct{})
	long := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16+5)
	stop, err := b.Listen("bb", func(m []byte) { told <- string(m) }, func(ctx context.Context, q []byte) []byte {
		switch string(q) {
		case "long":
			return long
		case "longer":
			return make([]byte, 64<<20+1)
		case "hang":
			<-ctx.Done() // as long as the asker waits
			told <- "nobody waits"
			<-over // an answer at the same moment might still be in time
		}
		return q
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Listen("bb", func([]byte) { t.Error("told to another log") },
		func(context.Context, []byte) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "node that answers", func() bool { // the server has its subscription
		answer, err := askWithin(t, a, "bb", []byte("short"), e2e.Patience)
		return err == nil && string(answer) == "short"
	})
	before := varz(t, c).Bytes
	if answer, err := askWithin(t, a, "bb", []byte("long"), e2e.Patience); err != nil || !bytes.Equal(answer, long) {
		t.Errorf("%d bytes, %v, want %d", len(answer), err, len(long))
	}
	if n := varz(t, c).Bytes - before; n > len(long)*3/2 {
		t.Errorf("the server has sent %d bytes for an answer of %d", n, len(long))
	}
	if answer, err := askWithin(t, a, "bb", nil, e2e.Patience); err != nil || len(answer) != 0 {
		t.Errorf("an empty answer: %q, %v", answer, err)
	}
	if err := a.Tell([]byte("here")); err != nil || <-told != "here" {
		t.Errorf("tell: %v", err)
	}
	refused := func(what string, err error, want string) {
		t.Helper()
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	_, err = askWithin(t, a, "bb", []byte("hang"), 2*time.Second) // long enough to be begun
	refused("one that hangs", err, "in time")
	close(over)
	if got := <-told; got != "nobody waits" {
		t.Errorf("told %q", got)
	}
	_, err = askWithin(t, a, "bb", []byte("longer"), e2e.Patience)
	refused("an answer that is too long", err, "longer than 67108864 bytes")
	_, err = askWithin(t, a, "cc", []byte("short"), e2e.Patience)
	refused("one that is not there", err, "not there")
	_, err = askWithin(t, a, "bb", make([]byte, 1<<20), e2e.Patience)
	refused("a question that is too long", err, "1048576 bytes")
	stop()
	e2e.Eventually(t, "node that has stopped", func() bool {
		_, err := askWithin(t, a, "bb", []byte("short"), time.Second) // the server may not know yet
		return err != nil && strings.Contains(err.Error(), "not there")
	})
	if end, err := a.End(t.Context(), 0); err != nil || end != (store.Place{}) {
		t.Errorf("the stream ends at %+v, %v, want nothing in it", end, err)
	}
}

// TestTurn: a node that never loses a place hears that another one has, and leaves the next place to it.
func TestTurn(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	near, far := connect(t, c, "LOG", 1), connect(t, c, "LOG", 1)
	var following sync.WaitGroup
	defer following.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	following.Go(func() {
		_ = far.Follow(ctx, store.Place{}, func(store.Place, []byte) error { return nil })
	})
	end, err := near.Append(t.Context(), store.Place{}, []byte("near"))
	if err != nil {
		t.Fatal(err)
	}
	if d := near.Turn(); d != 0 {
		t.Errorf("alone it waits for %v", d)
	}
	e2e.Eventually(t, "turn for the other node", func() bool {
		if _, err := far.Append(t.Context(), store.Place{}, []byte("far")); !errors.Is(err, store.ErrPlaceTaken) {
			t.Fatal(err)
		}
		if d := far.Turn(); d != 0 {
			t.Fatalf("who has no commit yet waits for %v", d)
		}
		if end, err = near.Append(t.Context(), end, []byte("near")); err != nil {
			t.Fatal(err)
		}
		return near.Turn() > 0
	})
}

// TestFarNode: a node that is further from the servers than a busy one gets places too.
func TestFarNode(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	near := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	defer near.Close()
	door := c.Door()
	door.Delay(5 * time.Millisecond)
	far := open(t, t.TempDir(), storetest.Options{}, connectTo(t, jetstream.Options{URLs: door.URLs(), Stream: "LOG",
		Replicas: 1, Lossy: true, Logger: logger(t)}))
	defer far.Close()
	ctx, stop := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer stop()
	for range 8 {
		publishing.Go(func() {
			for ctx.Err() == nil {
				if _, err := store.Append(ctx, near, []store.Draft{{Topic: "near"}}); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		if _, err := store.Append(t.Context(), far, []store.Draft{{Topic: "far"}}); err != nil {
			t.Fatal(err)
		}
	}
}
