package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/internal/commit"
)

// holder stops a log between the decision on a commit and its application.
type holder struct {
	held    chan func(*commit.Commit) error // applies others' commits meanwhile
	release chan struct{}
}

func newHolder() *holder {
	return &holder{make(chan func(*commit.Commit) error), make(chan struct{})}
}

func (h *holder) options() bolt.Options {
	return bolt.Between(bolt.Options{},
		func(_ *commit.Commit, apply func(*commit.Commit) error) {
			h.held <- apply
			<-h.release
		})
}

// pass lets n commits through.
func (h *holder) pass(n int) {
	for range n {
		<-h.held
		h.release <- struct{}{}
	}
}

// keyed returns a group with one event of the topic.
func keyed(topic, key string) []store.Group {
	return []store.Group{{Key: key, Drafts: []store.Draft{{Topic: topic, Data: []byte(key)}}}}
}

// TestMarksShareCommits: marks that arrive at the same time are made durable together, like events.
func TestMarksShareCommits(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	last := appendN(t, log, 10, "a")[9].ID
	before := log.Stats().Commits.Count
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			for j := range 10 {
				name := string(rune('a'+i)) + string(rune('a'+j))
				mark := store.Mark{ID: last, Topics: store.All()}
				if _, err := log.SetMark(context.Background(), "me", name, mark); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	if n := log.Stats().Commits.Count - before; n >= 80 {
		t.Errorf("200 marks took %d commits, want fewer than 80", n)
	} else {
		t.Logf("200 marks took %d commits", n)
	}
}

// TestNothingToCommit: a request that changes nothing writes nothing, and so costs no fsync.
func TestNothingToCommit(t *testing.T) {
	log, ctx := openAt(t, t.TempDir(), bolt.Options{}), context.Background()
	events := appendN(t, log, 10, "a")
	end := []store.Group{{Drafts: []store.Draft{{Topic: "b", Type: store.TypeEnd}}}}
	set := func(at int, patterns ...string) error {
		mark := store.Mark{ID: events[at].ID, Topics: filterOf(t, patterns...)}
		_, err := log.SetMark(ctx, "me", "inbox", mark)
		return err
	}
	once := func(groups []store.Group) error { _, err := log.AppendOnce(ctx, groups); return err }
	trim := func() error { _, err := log.Trim(ctx, store.All(), events[2].ID); return err }
	unmark := func() error { return log.DeleteMark(ctx, "me", "other") }
	if err := errors.Join(set(5, "a", "c.>"), once(end), once(keyed("a", "k")), trim()); err != nil {
		t.Fatal(err)
	}
	before := log.Stats()
	for what, call := range map[string]func() error{
		"a mark where it is":           func() error { return set(5, "a", "c.>") },
		"a mark named in other order":  func() error { return set(5, "c.>", "a", "a") },
		"an older mark":                func() error { return set(4, "a") },
		"an end of what has ended":     func() error { return once(end) },
		"a retry":                      func() error { return once(keyed("a", "k")) },
		"a trim of what was trimmed":   trim,
		"retention that keeps it all":  func() error { _, err := log.Retain(ctx, store.Retention{}); return err },
		"a mark deleted that is not":   func() error { return is(unmark(), store.ErrNotFound) },
		"an event for an ended topic":  func() error { return is(once(keyed("b", "")), store.ErrEnded) },
		"a key of another request":     func() error { return is(once(keyed("c", "k")), store.ErrKeyMismatch) },
		"a mark set twice in a commit": func() error { return errors.Join(set(5, "a", "c.>"), set(5, "a", "c.>")) },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if after := log.Stats(); after.Commits.Count != before.Commits.Count ||
			after.Writes.Count != before.Writes.Count {
			t.Errorf("%s took a commit", what)
			before = after
		}
	}
	if err := set(5, "a"); err != nil || log.Stats().Commits.Count == before.Commits.Count {
		t.Errorf("other topics at the same ID: %v, want them stored", err)
	}
}

// is returns nil for the wanted error.
func is(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("%v, want %w", err, want)
}

// TestCommitSteps: after a crash at any step of a commit with every kind of entry, the log opens as it was
// before or after it, intact. bbolt writes pages that nothing uses, then the meta page that makes them count.
func TestCommitSteps(t *testing.T) {
	dir, hold := t.TempDir(), newHolder()
	log := openAt(t, dir, hold.options())
	var calls sync.WaitGroup
	call := func(f func() error) {
		calls.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
	}
	ctx := context.Background()
	set := func(name string, id store.ID) error {
		_, err := log.SetMark(ctx, "me", name, store.Mark{ID: id, Topics: store.All()})
		return err
	}
	once := func(topic, key string) error {
		_, err := log.AppendOnce(ctx, keyed(topic, key))
		return err
	}
	var first []store.ID
	call(func() (err error) {
		first, err = store.Append(ctx, log, slices.Repeat([]store.Draft{
			{Topic: "a", Data: make([]byte, 500)}, {Topic: "b", Data: make([]byte, 500)}}, 200))
		return err
	})
	hold.pass(1)
	calls.Wait()
	call(func() error { return set("gone", first[0]) })
	hold.pass(1)
	calls.Wait()

	call(func() error { return once("a", "k1") })
	<-hold.held // until all the others are queued
	call(func() error { return once("new", "k2") })
	call(func() error { return set("inbox", first[5]) })
	call(func() error { return log.DeleteMark(ctx, "me", "gone") })
	call(func() error { _, err := log.Trim(ctx, filterOf(t, "a"), first[20]); return err })
	call(func() error {
		return log.SetDeliveries(ctx, []store.NamedDelivery{{Name: "shop", Delivery: store.Delivery{
			ID: first[5], Record: make([]byte, 5000)}}}, false)
	})
	for log.Stats().Queued < 5 {
		runtime.Gosched()
	}
	hold.release <- struct{}{}
	<-hold.held
	commits := log.Stats().Commits.Count
	before, state := crash(t, dir), stateOf(t, log)
	hold.release <- struct{}{}
	calls.Wait()
	if n := log.Stats().Commits.Count - commits; n != 1 {
		t.Fatalf("all of it took %d commits, want 1", n)
	}
	after, changed := crash(t, dir), stateOf(t, log)
	if cmp.Equal(state, changed) {
		t.Fatal("the commit changed nothing")
	}
	old, wrote := readFile(t, logFile(before)), readFile(t, logFile(after))
	page := os.Getpagesize()
	torn := slices.Clone(old)
	if len(torn) < len(wrote) {
		torn = append(torn, make([]byte, len(wrote)-len(torn))...)
	}
	steps := 0
	for at := 2 * page; at < len(wrote); at += page { // after the meta pages
		if end := min(at+page, len(wrote)); !bytes.Equal(torn[at:end], wrote[at:end]) {
			copy(torn[at:end], wrote[at:end])
			expectState(t, torn, state)
			steps++
		}
	}
	copy(torn, wrote[:2*page])
	expectState(t, torn, changed)
	t.Logf("%d pages", steps)
}

// logState is everything that a log reports.
type logState struct {
	Info   store.Info
	Topics []store.TopicInfo
	Events []store.Event
	Marks  map[string]store.ID

	Deliveries []store.NamedDelivery
}

func stateOf(t *testing.T, log *bolt.Log) logState {
	t.Helper()
	info, err := log.Info()
	if err != nil {
		t.Fatal(err)
	}
	info.DiskBytes = 0
	s := logState{Info: info, Topics: infos(log), Marks: make(map[string]store.ID)}
	s.Events, _ = drain(t, log, store.All(), store.ID{}, 500)
	if s.Deliveries, err = log.Deliveries(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"inbox", "gone"} {
		if mark, err := log.Mark("me", name); err == nil {
			s.Marks[name] = mark.ID
		}
	}
	return s
}

func expectState(t *testing.T, file []byte, want logState) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(logFile(dir), file, 0o600); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); !report.Intact() {
		t.Fatalf("verify: %+v", report)
	}
	log := openAt(t, dir, bolt.Options{})
	if diff := cmp.Diff(want, stateOf(t, log)); diff != "" {
		t.Fatalf("after a crash: %s", diff)
	}
	closeLog(t, log)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestRefusedInFailedBatch: if a commit is not stored, nobody is refused for what it would have stored: the
// topic has not ended.
func TestRefusedInFailedBatch(t *testing.T) {
	hold := newHolder()
	log := openAt(t, t.TempDir(), hold.options())
	var calls sync.WaitGroup
	outcomes := make([]error, 3)
	for i, d := range []store.Draft{{Topic: "other"}, {Topic: "a", Type: store.TypeEnd},
		{Topic: "a"}} {
		calls.Go(func() {
			_, outcomes[i] = store.Append(context.Background(), log, []store.Draft{d})
		})
		if i == 0 {
			<-hold.held // until the others are queued
		}
		for log.Stats().Queued < i {
			runtime.Gosched()
		}
	}
	hold.release <- struct{}{}
	apply := <-hold.held
	if err := apply(&commit.Commit{After: store.MaxID}); !errors.Is(err, store.ErrFailed) {
		t.Errorf("a commit that follows something else: %v, want ErrFailed", err)
	}
	hold.release <- struct{}{}
	calls.Wait()
	for i, want := range []error{nil, store.ErrFailed, store.ErrFailed} {
		if !errors.Is(outcomes[i], want) {
			t.Errorf("call %d: %v, want %v", i, outcomes[i], want)
		}
	}
}
