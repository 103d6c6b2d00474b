package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/jetstream"
	"tidings/store/storetest"
)

// as returns a node that connects as a user.
func as(t *testing.T, c *natstest.Cluster, user string, logger *slog.Logger) *node {
	t.Helper()
	url := strings.Replace(c.URLs()[0], "//", "//"+user+":secret@", 1)
	seq := connectTo(t, jetstream.Options{URLs: []string{url}, Stream: "LOG", Replicas: 1, Lossy: true, Logger: logger})
	log, err := bolt.Open(t.TempDir(), bolt.Options{Sequencer: seq, SequencerTimeout: time.Second, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	return &node{log, seq}
}

// user is the configuration of a server that lets one node in.
func user(password, denied string) string {
	return fmt.Sprintf("authorization { users: [{user: node, password: %s, permissions: {publish: {deny: %q}}}] }\n",
		password, denied)
}

// TestDenied: a node whose password or permission was taken away refuses publishes as not stored or unknown and is not
// ready, and continues by itself once it has them back. Nothing is stored twice.
func TestDenied(t *testing.T) {
	for name, without := range map[string]string{
		"password":   user("another", "none"),
		"permission": user("secret", "tidings.log.>"),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "password" && os.Getenv("TIDINGS_FULL") == "" {
				t.Skip("takes seconds: TIDINGS_FULL=1")
			}
			t.Parallel()
			c := natstest.Start(t, 1)
			c.Configure(0, user("secret", "none"))
			log := as(t, c, "node", logger(t))
			publish(t, log, 1, 10)
			c.Configure(0, without)
			n := 0
			once := func() error {
				n++
				_, err := store.Append(t.Context(), log, []store.Draft{{Topic: fmt.Sprint("b", n)}})
				return err
			}
			err := once()
			if ok, _ := retriable(err); !ok || log.Ready() == nil {
				t.Errorf("append: %v, ready: %v, want that both pass", err, log.Ready())
			}
			c.Configure(0, user("secret", "none"))
			e2e.Eventually(t, "event after it was let in again", func() bool { return once() == nil })
			page, err := log.NewReader(store.All(), store.ID{}).Next(100)
			topics := make(map[string]bool)
			for _, e := range page.Events {
				topics[e.Topic] = true
			}
			if err != nil || len(topics) < len(page.Events) || !topics[fmt.Sprint("b", n)] || log.Ready() != nil {
				t.Errorf("topics of %d events: %v, %v, ready: %v", len(page.Events), topics, err, log.Ready())
			}
			storetest.Check(t, log)
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDeniedSaidOnce: a node that is not let in tries again several times a second, and does not log each time.
func TestDeniedSaidOnce(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	c.Configure(0, user("secret", "none"))
	wrote := new(e2e.Output)
	url := strings.Replace(c.URLs()[0], "//", "//node:secret@", 1)
	seq := connectTo(t, jetstream.Options{URLs: []string{url}, Stream: "LOG", Replicas: 1, Lossy: true,
		Logger: slog.New(slog.NewTextHandler(wrote, nil))})
	defer seq.Close()
	c.Configure(0, user("another", "none"))
	e2e.Eventually(t, "node that is refused thrice", func() bool {
		return strings.Count(c.Wrote(0), "authentication error") > 2 &&
			strings.Contains(wrote.String(), "NATS reports an error")
	})
	if n := strings.Count(wrote.String(), "NATS reports an error"); n != 1 {
		t.Errorf("it says %d times that it is refused:\n%s", n, wrote.String())
	}
}

// TestMuteLeader: a node whose requests the stream's leader does not answer leaves its server, although other nodes'
// commits arrive: one of the leader's peers may deliver them.
func TestMuteLeader(t *testing.T) {
	if os.Getenv("TIDINGS_FULL") == "" {
		t.Skip("takes seconds: TIDINGS_FULL=1")
	}
	t.Parallel()
	c := natstest.Start(t, 1)
	users := func(denied string) string {
		return fmt.Sprintf("authorization { users: [{user: other, password: secret}, {user: node, password: secret, "+
			"permissions: {publish: {deny: [%s]}}}] }\n", denied)
	}
	c.Configure(0, users("none"))
	wrote := new(e2e.Output)
	log := as(t, c, "node", slog.New(slog.NewTextHandler(wrote, nil)))
	other := as(t, c, "other", logger(t))
	c.Reload(0, users(`"tidings.log.>", "$JS.API.STREAM.>"`))
	over, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for over.Err() == nil {
			_, _ = store.Append(over, log, []store.Draft{{Topic: "b"}})
		}
	})
	e2e.Eventually(t, "word that it leaves", func() bool {
		_, _ = store.Append(t.Context(), other, []store.Draft{{Topic: "a"}})
		return strings.Contains(wrote.String(), "trying another server")
	})
	head := other.Head()
	e2e.Eventually(t, "event of the other", func() bool { return !log.Head().Before(head) })
	cancel()
	publishing.Wait()
	if err := errors.Join(log.Close(), other.Close()); err != nil {
		t.Error(err)
	}
}

// TestFullServer: a server or an account at the limit of its disk refuses with ErrNoSpace, and takes events again once
// there is room.
func TestFullServer(t *testing.T) {
	for name, limit := range map[string]string{
		"server":  "jetstream { store_dir: %q, sync_interval: always, max_file_store: 100KB }\n",
		"account": "accounts { A: { jetstream: {max_file: 100KB}, users: [{user: node, password: secret}] } }\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.Start(t, 1)
			if strings.Contains(limit, "%q") {
				limit = fmt.Sprintf(limit, c.Dir(0)) + user("secret", "none")
			}
			c.Configure(0, limit)
			log := as(t, c, "node", logger(t))
			var err error
			for range 10 {
				_, err = store.Append(t.Context(), log, []store.Draft{{Topic: "a", Data: make([]byte, 30<<10)}})
				if err != nil {
					break
				}
			}
			if !errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrOutcomeUnknown) {
				t.Errorf("append: %v, want ErrNoSpace", err)
			}
			c.Configure(0, strings.Replace(limit, "100KB", "100MB", 1))
			e2e.Eventually(t, "event once there is room", func() bool {
				_, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a", Data: make([]byte, 30<<10)}})
				return err == nil
			})
			storetest.Check(t, log)
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSealed: a stream that was sealed takes no commit. The node says so and is not ready; no other one starts.
func TestSealed(t *testing.T) {
	if os.Getenv("TIDINGS_FULL") == "" {
		t.Skip("takes seconds: TIDINGS_FULL=1")
	}
	t.Parallel()
	c := natstest.Start(t, 1)
	seq := connect(t, c, "LOG", 1)
	log, err := bolt.Open(t.TempDir(), bolt.Options{Sequencer: seq, SequencerTimeout: time.Second, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	js := operator(t, c)
	config := streamOn(t, js).Config
	config.Sealed = true
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	_, err = store.Append(t.Context(), log, []store.Draft{{Topic: "a"}})
	if ok, _ := retriable(err); !ok || !strings.Contains(fmt.Sprint(err, log.Ready()), "sealed") {
		t.Errorf("append: %v, ready: %v, want that the stream is sealed", err, log.Ready())
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	seq.Close()
	late, err := jetstream.Connect(t.Context(), jetstream.Options{URLs: c.URLs(), Stream: "LOG", Lossy: true})
	if err == nil {
		late.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "it is sealed") {
		t.Errorf("connect: %v, want that it is sealed", err)
	}
}

// TestAged: a stream whose messages an operator let go by age. A node that has them continues, another one says that
// it needs them.
func TestAged(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	publish(t, log, 3, 10)
	js := operator(t, c)
	good := streamOn(t, js).Config
	aged := good
	aged.MaxAge, aged.Duplicates = 100*time.Millisecond, 100*time.Millisecond
	if _, err := js.UpdateStream(t.Context(), aged); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "stream without messages", func() bool { return streamOn(t, js).State.Msgs == 0 })
	if _, err := js.UpdateStream(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	publish(t, log, 2, 10)
	storetest.Check(t, log)
	seq := connect(t, c, "LOG", 1)
	defer seq.Close()
	late, err := bolt.Open(t.TempDir(), bolt.Options{Sequencer: seq})
	if err == nil {
		_ = late.Close()
	}
	if !errors.Is(err, store.ErrPurged) {
		t.Errorf("a new node: %v, want ErrPurged", err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// TestEmptied: a log whose stream an operator has emptied stops.
func TestEmptied(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	seq := connectTo(t, jetstream.Options{URLs: c.URLs(), Stream: "LOG", Replicas: 1, Lossy: true,
		Settle: 200 * time.Millisecond, Logger: logger(t)})
	log := open(t, t.TempDir(), storetest.Options{}, seq)
	publish(t, log, 3, 10)
	stream, err := operator(t, c).Stream(t.Context(), "LOG")
	if err == nil {
		err = stream.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = log.CatchUp(t.Context()) }()
	stops(t, log)
	_ = log.Close() // it has failed
}

// TestCopied: nodes of which one began with a copy of the other's directory are two nodes of one log.
func TestCopied(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	first, second := t.TempDir(), t.TempDir()
	log := open(t, first, storetest.Options{}, connect(t, c, "LOG", 1))
	publish(t, log, 3, 10)
	if err := errors.Join(log.Close(), os.CopyFS(second, os.DirFS(first))); err != nil {
		t.Fatal(err)
	}
	one, two := open(t, first, storetest.Options{}, connect(t, c, "LOG", 1)),
		open(t, second, storetest.Options{}, connect(t, c, "LOG", 1))
	for range 3 {
		publish(t, one, 1, 10)
		publish(t, two, 1, 10)
	}
	if err := one.CatchUp(t.Context()); err != nil {
		t.Error(err)
	}
	storetest.Agree(t, one, two)
	if err := errors.Join(one.Close(), two.Close()); err != nil {
		t.Error(err)
	}
}
