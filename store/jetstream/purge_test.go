package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// newest keeps the newest n events of each topic, but only one of "large" and all of "long".
func newest(n uint64) store.Retention {
	return store.Retention{Topics: store.Everything(), OfTopic: func(name string) store.Limits {
		if name == "long" {
			return store.Limits{}
		}
		if name == "large" {
			return store.Limits{Events: 1}
		}
		return store.Limits{Events: n}
	}}
}

// fill appends n batches of a few events, with keys, marks and some large events.
func fill(t *testing.T, log store.Log, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		drafts := []store.Draft{{Topic: "long", Data: []byte("kept")}}
		for j := range 20 {
			drafts = append(drafts, store.Draft{Topic: fmt.Sprint("t", j%5), Data: make([]byte, 500)})
		}
		_, err := log.AppendOnce(t.Context(), []store.Group{{Key: fmt.Sprint(i), Drafts: drafts}})
		if err == nil && i%10 == 0 {
			_, err = log.SetMark(t.Context(), "s", fmt.Sprint(i), store.Mark{ID: log.Head(), Topics: store.All()})
		}
		if err == nil && i%20 == 7 {
			large := store.Draft{Topic: "large", Data: bytes.Repeat([]byte("x"), 1<<20)}
			_, err = store.Append(t.Context(), log, []store.Draft{large})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// streamOn returns the stream as an operator sees it.
func streamOn(t *testing.T, js natsjs.JetStream) *natsjs.StreamInfo {
	t.Helper()
	stream, err := js.Stream(t.Context(), "LOG")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo()
}

// TestPurge: a stream on servers that are killed in turn is purged, with one large event and one topic that is kept
// longer; nodes that join later, or were stopped before, have the same as one that was running.
func TestPurge(t *testing.T) {
	t.Parallel()
	servers := 3
	if testing.Short() {
		servers = 1
	}
	c := natstest.Start(t, servers)
	js := operator(t, c)
	opts := storetest.Options{SequenceSlack: 1 << 16}
	log := open(t, t.TempDir(), opts, connect(t, c, "LOG", servers))
	dir := t.TempDir()
	behind := open(t, dir, opts, connect(t, c, "LOG", servers))
	fill(t, log, 0, 20)
	if err := errors.Join(behind.CatchUp(t.Context()), behind.Close()); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		first := streamOn(t, js).State.FirstSeq
		fill(t, log, 100*(round+1), 100)
		c.Kill(round % servers)
		c.Run(round % servers)
		c.Eventually("LOG", "purged stream", func() bool {
			_, err := log.Retain(t.Context(), newest(100))
			if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrOutcomeUnknown) {
				t.Fatal(err)
			}
			return err == nil && streamOn(t, js).State.FirstSeq > first
		})
		late := open(t, t.TempDir(), opts, connect(t, c, "LOG", servers))
		storetest.Agree(t, log, late)
		storetest.Check(t, late)
		r, err := late.AppendOnce(t.Context(),
			[]store.Group{{Key: fmt.Sprint(100*(round+1) + 1), Drafts: []store.Draft{{Topic: "a"}}}})
		if !errors.Is(err, store.ErrKeyMismatch) {
			t.Errorf("a key of what was purged: %+v, %v", r, err)
		}
		if err := late.Close(); err != nil {
			t.Error(err)
		}
	}
	info, err := log.Info()
	if err != nil {
		t.Fatal(err)
	}
	if got, most := streamOn(t, js).State.Bytes, 2*info.Bytes+(1<<16)+400*200; got > most {
		t.Errorf("the stream has %d bytes, want at most %d: %d are retained", got, most, info.Bytes)
	}
	behind = open(t, dir, opts, connect(t, c, "LOG", servers))
	storetest.Agree(t, log, behind)
	if aside, _ := filepath.Glob(filepath.Join(dir, "log.db.aside-*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	if err := errors.Join(behind.Close(), log.Close()); err != nil {
		t.Error(err)
	}
}

// TestPurgedAttempt: an attempt that may have had a place that was purged gets ErrPurged.
func TestPurgedAttempt(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	seq, other := connect(t, c, "LOG", 1), connect(t, c, "LOG", 1)
	defer seq.Close()
	defer other.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := seq.Append(over, store.Place{}, []byte("c")); !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Fatalf("%v, want ErrOutcomeUnknown", err)
	}
	var at [3]store.Place
	for i := range 2 {
		var err error
		if at[i+1], err = other.Append(t.Context(), at[i], []byte("other")); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Purge(t.Context(), at[1]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := seq.Append(ctx, store.Place{}, []byte("c")); !errors.Is(err, store.ErrPurged) {
		t.Errorf("%v, want ErrPurged", err)
	}
}

// TestPurgeDenied: each pass of retention reports a stream that cannot be purged, and it still accepts events.
func TestPurgeDenied(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	js := operator(t, c)
	log := open(t, t.TempDir(), storetest.Options{SequenceSlack: 1}, connect(t, c, "LOG", 1))
	defer log.Close()
	config := streamOn(t, js).Config
	config.DenyPurge = true
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	fill(t, log, 0, 40)
	var err error
	for range 4 {
		_, err = log.Retain(t.Context(), newest(10))
	}
	if err == nil || !strings.Contains(err.Error(), "deny_purge") || !strings.Contains(err.Error(), "restore") {
		t.Errorf("retain: %v, want deny_purge and what to do", err)
	}
	publish(t, log, 1, 10)
}

// TestPutBack: what a server lost because an older copy of its store was put back is put back from the mirror of a
// node, with all IDs; the stream was purged before.
func TestPutBack(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	opts := storetest.Options{SequenceSlack: 1 << 16}
	dir := t.TempDir()
	log := open(t, dir, opts, connect(t, c, "LOG", 1))
	fill(t, log, 0, 60)
	for range 4 {
		if _, err := log.Retain(t.Context(), newest(100)); err != nil {
			t.Fatal(err)
		}
	}
	if first := streamOn(t, operator(t, c)).State.FirstSeq; first == 1 {
		t.Fatal("not purged")
	}
	c.Kill(0)
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(c.Dir(0))); err != nil {
		t.Fatal(err)
	}
	c.Run(0)
	fill(t, log, 1000, 30)
	if _, err := log.Retain(t.Context(), newest(50)); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	was := alone(t, dir, backup)
	c.Kill(0)
	if err := errors.Join(os.RemoveAll(c.Dir(0)), os.CopyFS(c.Dir(0), os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	c.Run(0)
	seq := connect(t, c, "LOG", 1)
	r, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: seq})
	seq.Close()
	if err != nil || r.Events == 0 || r.Through != was.Head() {
		t.Fatalf("%+v, %v; the newest was %s", r, err, was.Head())
	}
	for _, dir := range []string{dir, t.TempDir()} {
		back := open(t, dir, opts, connect(t, c, "LOG", 1))
		storetest.Agree(t, was, back)
		storetest.Check(t, back)
		if err := back.Close(); err != nil {
			t.Error(err)
		}
	}
	seq = connect(t, c, "LOG", 1)
	defer seq.Close()
	if _, err := bolt.PutBack(t.Context(), dir, bolt.Options{Sequencer: seq}); !errors.Is(err, bolt.ErrNothingLost) {
		t.Errorf("again: %v, want ErrNothingLost", err)
	}
}

// alone opens a copy of a mirror without its sequence.
func alone(t *testing.T, dir, into string) *bolt.Log {
	t.Helper()
	if err := os.Mkdir(into, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "log.db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(into, "log.db"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	log, err := bolt.Open(into, bolt.Options{Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// TestExtentOfNothing: a new stream is empty.
func TestExtentOfNothing(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	seq := connect(t, c, "LOG", 1)
	defer seq.Close()
	e, err := seq.Extent(t.Context())
	if err != nil || e != (store.Extent{First: 1}) {
		t.Errorf("%+v, %v", e, err)
	}
	if at, _, err := seq.State(t.Context()); err != nil || at != (store.Place{}) {
		t.Errorf("state: %+v, %v", at, err)
	}
	if at, _, err := seq.Find(t.Context(), 0); err != nil || at != (store.Place{}) {
		t.Errorf("find: %+v, %v", at, err)
	}
}

// TestPurgeAtLimits: at the limits of retention, with keys, and one topic that is kept a hundred times as long as the
// others, the stream takes less than twice what is retained. A million events: TIDINGS_FULL=1.
func TestPurgeAtLimits(t *testing.T) {
	t.Parallel()
	events := 40_000
	if os.Getenv("TIDINGS_FULL") != "" {
		events = 1_000_000
	}
	c := natstest.Start(t, 1)
	js := operator(t, c)
	opts := storetest.Options{SequenceSlack: 1, MaxKeys: events / 100}
	log := open(t, t.TempDir(), opts, connect(t, c, "LOG", 1))
	keep := store.Retention{Topics: store.Everything(), OfTopic: func(name string) store.Limits {
		if name == "t0" {
			return store.Limits{Events: uint64(events / 10)}
		}
		return store.Limits{Events: uint64(events / 1000)}
	}}
	const batch, groups = 500, 10
	peak := uint64(0)
	for i := 0; i < events; i += batch {
		all := make([]store.Group, groups)
		for g := range all {
			all[g].Key = fmt.Sprint(i, "/", g)
			for j := range batch / groups {
				d := store.Draft{Topic: fmt.Sprint("t", j%10), Data: make([]byte, 200)}
				all[g].Drafts = append(all[g].Drafts, d)
			}
		}
		if _, err := log.AppendOnce(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if i%(events/50) == 0 {
			if _, err := log.Retain(t.Context(), keep); err != nil {
				t.Fatal(err)
			}
			peak = max(peak, streamOn(t, js).State.Bytes)
		}
	}
	if _, err := log.Retain(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	info, err := log.Info()
	if err != nil {
		t.Fatal(err)
	}
	state := streamOn(t, js).State
	retained := info.Bytes + uint64(info.Keys)*80 // their size in bbolt
	t.Logf("%d events retained, %d bytes with keys; the stream has %d bytes in %d messages from %d on, at most %d",
		info.Events, retained, state.Bytes, state.Msgs, state.FirstSeq, peak)
	if state.Bytes >= 2*retained || state.FirstSeq == 1 {
		t.Errorf("the stream has %d bytes, %d are retained", state.Bytes, retained)
	}
	late := open(t, t.TempDir(), opts, connect(t, c, "LOG", 1))
	storetest.Agree(t, log, late)
	if err := errors.Join(late.Close(), log.Close()); err != nil {
		t.Error(err)
	}
}

// TestFindLarge: if every commit has several messages, the next one is found from any message on, with its place.
func TestFindLarge(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1)
	seq := connect(t, c, "LOG", 1)
	defer seq.Close()
	places, commits := []store.Place{{}}, [][]byte{}
	for i := range 4 {
		commits = append(commits, bytes.Repeat([]byte{byte('a' + i)}, 600<<10)) // two messages
		at, err := seq.Append(t.Context(), places[i], commits[i])
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, at)
	}
	for number := uint64(1); number < 8; number++ {
		next := int(number+1) / 2 // the commit that begins at this number, or after it
		at, commit, err := seq.Find(t.Context(), number)
		if next == len(commits) {
			if at != (store.Place{}) || err != nil {
				t.Errorf("after message %d: %+v, %v, want none", number, at, err)
			}
			continue
		}
		if err != nil || at != places[next] || !bytes.Equal(commit, commits[next]) {
			t.Errorf("after message %d: %+v and %d bytes, %v, want %+v", number, at, len(commit), err, places[next])
		}
	}
}
