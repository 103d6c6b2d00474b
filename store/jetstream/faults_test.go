package jetstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// operator returns a connection that may do anything to the stream.
func operator(t *testing.T, c *natstest.Cluster) natsjs.JetStream {
	t.Helper()
	nc, err := nats.Connect(strings.Join(c.URLs(), ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publish appends n events.
func publish(t *testing.T, log store.Log, n int, size int) (last store.ID) {
	t.Helper()
	for range n {
		ids, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a", Data: make([]byte, size)}})
		if err != nil {
			t.Fatal(err)
		}
		last = ids[0]
	}
	return last
}

// stops waits until the log has failed because its stream is not the one it followed.
func stops(t *testing.T, log *node) {
	t.Helper()
	select {
	case <-log.Failed():
	case <-time.After(time.Minute):
		t.Fatal("the log goes on")
	}
	if err := log.Ready(); !errors.Is(err, store.ErrDiverged) {
		t.Errorf("ready: %v, want ErrDiverged", err)
	}
	if _, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a"}}); !errors.Is(err, store.ErrFailed) {
		t.Errorf("append: %v, want ErrFailed", err)
	}
}

// TestStreamShort: that a stream ends before what it had is believed only after a while: until then a leader
// that was just elected may still be applying it.
func TestStreamShort(t *testing.T) {
	for settle, believed := range map[time.Duration]bool{time.Hour: false, 200 * time.Millisecond: true} {
		c := natstest.Start(t, 1)
		seq, err := jetstream.Connect(t.Context(),
			jetstream.Options{URLs: c.URLs(), Stream: "LOG", Replicas: 1, Lossy: true, Settle: settle})
		if err != nil {
			t.Fatal(err)
		}
		defer seq.Close()
		at, err := seq.Append(t.Context(), store.Place{}, []byte("commit"))
		if err != nil || at.Number != 1 {
			t.Fatalf("append: %+v, %v", at, err)
		}
		js := operator(t, c)
		stream, err := js.Stream(t.Context(), "LOG")
		if err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteStream(t.Context(), "LOG"); err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), stream.CachedInfo().Config); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		end, err := seq.End(ctx, at.Number)
		if believed && (err != nil || end.Number != 0) || !believed && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("settling for %v: the end is %+v, %v", settle, end, err)
		}
	}
}

// TestConnectEnds: connecting to a server that does not answer ends with its context.
func TestConnectEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			cancel()
		}
		<-t.Context().Done()
	}()
	_, err = jetstream.Connect(ctx, jetstream.Options{URLs: []string{"nats://" + l.Addr().String()}, Stream: "LOG"})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("connect: %v, want ErrUnavailable because of its context", err)
	}
}

// TestForeign: a message that another program wrote into the stream stops the log, and so does one in the format of a
// newer release.
func TestForeign(t *testing.T) {
	for name, write := range map[string]func(*testing.T, natsjs.JetStream) error{
		"another program": func(t *testing.T, js natsjs.JetStream) error {
			return writeForeign(t, js, []byte("theirs"))
		},
		"newer message": func(t *testing.T, js natsjs.JetStream) error {
			m, err := js.Conn().RequestWithContext(t.Context(), "$JS.API.STREAM.MSG.GET.LOG", []byte(`{"seq":4}`))
			var answer struct{ Message struct{ Data []byte } }
			if err == nil {
				err = json.Unmarshal(m.Data, &answer)
			}
			if err == nil {
				answer.Message.Data[0]++ // its version
				err = writeForeign(t, js, answer.Message.Data)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.Start(t, 1)
			log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
			defer log.Close()
			publish(t, log, 3, 10)
			if err := write(t, operator(t, c)); err != nil {
				t.Fatal(err)
			}
			stops(t, log)
		})
	}
}

// TestNewerCommit: a commit that only a newer release can read stops the log, which says so.
func TestNewerCommit(t *testing.T) {
	c := natstest.Start(t, 1)
	log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	defer log.Close()
	end, err := log.seq.End(t.Context(), 0)
	if err == nil {
		_, err = log.seq.Append(t.Context(), end, []byte{255}) // its version
	}
	if err != nil {
		t.Fatal(err)
	}
	<-log.Failed()
	if err := log.Ready(); err == nil || !strings.Contains(err.Error(), "newer one") {
		t.Errorf("ready: %v", err)
	}
}

// writeForeign writes a message among the commits.
func writeForeign(t *testing.T, js natsjs.JetStream, data []byte) error {
	subject := strings.TrimSuffix(streamOn(t, js).Config.Subjects[0], ">") + "commit"
	_, err := js.Publish(t.Context(), subject, data)
	return err
}

// TestLarge: a commit too large for one message is sent as a batch, and is read back whole.
func TestLarge(t *testing.T) {
	c := natstest.Start(t, 1)
	log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	drafts := make([]store.Draft, 5)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: "a", Data: data}
	}
	if _, err := store.Append(t.Context(), log, drafts); err != nil {
		t.Fatal(err)
	}
	publish(t, log, 1, 10)
	late := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	storetest.Agree(t, log, late)
	if err := errors.Join(log.Close(), late.Close()); err != nil {
		t.Error(err)
	}
}

// TestFull: a stream at its limit refuses with ErrNoSpace, and continues once the limit is raised.
func TestFull(t *testing.T) {
	c := natstest.Start(t, 1)
	log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	defer log.Close()
	publish(t, log, 1, 10)
	js := operator(t, c)
	stream, err := js.Stream(t.Context(), "LOG")
	if err != nil {
		t.Fatal(err)
	}
	limit := func(bytes int64) {
		t.Helper()
		config := stream.CachedInfo().Config
		config.MaxBytes = bytes
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	limit(2000)
	_, err = store.Append(t.Context(), log, []store.Draft{{Topic: "a", Data: make([]byte, 5000)}})
	if !errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("append to a full stream: %v, want ErrNoSpace", err)
	}
	limit(-1)
	publish(t, log, 1, 5000)
	storetest.Check(t, log)
}

// TestMaxPayload: a commit above the server's max_payload is refused, and holds up nothing.
func TestMaxPayload(t *testing.T) {
	c := natstest.Start(t, 1)
	c.Configure(0, "max_payload: 65536\n")
	log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	defer log.Close()
	_, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a", Data: make([]byte, 100_000)}})
	if !errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("append of more than max_payload: %v, want ErrNoSpace", err)
	}
	publish(t, log, 1, 10)
}

// TestRefused: a stream that would break the guarantees is refused with a sentence.
func TestRefused(t *testing.T) {
	c := natstest.Start(t, 1)
	js := operator(t, c)
	sync := jetstream.SyncedBy(c.Monitors())
	if err := sync(t.Context()); err != nil {
		t.Errorf("servers that sync: %v", err)
	}
	for name, want := range map[string]struct {
		change func(*natsjs.StreamConfig)
		o      jetstream.Options
		text   string
	}{
		"one replica": {func(*natsjs.StreamConfig) {}, jetstream.Options{Synced: sync}, "has 1 replicas"},
		"an age": {func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour },
			jetstream.Options{Lossy: true}, "no max_age"},
		"old go first": {func(c *natsjs.StreamConfig) { c.Discard = natsjs.DiscardOld }, jetstream.Options{Lossy: true},
			"discard new"},
		"others' subjects": {func(c *natsjs.StreamConfig) { c.Subjects = []string{"orders.>"} },
			jetstream.Options{Lossy: true}, "not a log of this program"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), "'", "")
			connect(t, c, stream, 1).Close()
			made, err := js.Stream(t.Context(), stream)
			if err != nil {
				t.Fatal(err)
			}
			config := made.CachedInfo().Config
			want.change(&config)
			if _, err := js.UpdateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			want.o.URLs, want.o.Stream, want.o.Replicas = c.URLs(), stream, 1
			seq, err := jetstream.Connect(t.Context(), want.o)
			if err == nil {
				seq.Close()
			}
			if err == nil || !strings.Contains(err.Error(), want.text) {
				t.Errorf("%v, want %q", err, want.text)
			}
		})
	}
}

// TestChanged: a stream whose settings were changed while a log follows it takes no events, the log says why, and
// continues once they are changed back.
func TestChanged(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	wrote := new(e2e.Output)
	seq, err := jetstream.Connect(t.Context(), jetstream.Options{URLs: c.URLs(), Stream: "LOG", Replicas: 1,
		Lossy: true, Logger: slog.New(slog.NewTextHandler(wrote, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer seq.Close()
	log, err := bolt.Open(t.TempDir(), bolt.Options{Sequencer: seq, SequencerTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	js := operator(t, c)
	good := streamOn(t, js).Config
	for want, change := range map[string]func(*natsjs.StreamConfig){
		"no max_age":   func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour },
		"discard new":  func(c *natsjs.StreamConfig) { c.Discard = natsjs.DiscardOld },
		"the subjects": func(c *natsjs.StreamConfig) { c.Subjects = []string{"orders.>"} },
		"allow_atomic": func(c *natsjs.StreamConfig) { c.AllowAtomicPublish = false },
	} {
		config, words := good, strings.Count(wrote.String(), want)
		change(&config)
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		c.Kill(0) // it looks after each reconnect, otherwise each minute
		c.Run(0)
		e2e.Eventually(t, "word of "+want, func() bool { return strings.Count(wrote.String(), want) > words })
		_, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a"}})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("append: %v, want ErrUnavailable for %s", err, want)
		}
		if _, err := js.UpdateStream(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		e2e.Eventually(t, "event after "+want, func() bool {
			_, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a"}})
			return err == nil
		})
	}
	storetest.Check(t, log)
}

// TestConsumerDeleted: a log whose consumer was deleted makes another, and misses nothing.
func TestConsumerDeleted(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	writes := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	reads := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	stream, err := operator(t, c).Stream(t.Context(), "LOG")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		publish(t, writes, 3, 10)
		names := stream.ConsumerNames(t.Context())
		for name := range names.Name() {
			err := stream.DeleteConsumer(t.Context(), name)
			if err != nil && !errors.Is(err, natsjs.ErrConsumerNotFound) {
				t.Fatal(err)
			}
		}
		if err := names.Err(); err != nil {
			t.Fatal(err)
		}
		last := publish(t, writes, 3, 10)
		e2e.Eventually(t, "event after its consumer was deleted", func() bool { return !reads.Head().Before(last) })
	}
	storetest.Agree(t, writes, reads)
	if err := errors.Join(writes.Close(), reads.Close()); err != nil {
		t.Error(err)
	}
}
