package bolt_test

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/internal/commit"
	"tidings/store/storetest"
)

// node is a log whose commits are kept as bytes, for another log to apply.
func node(t *testing.T, dir string) (log *bolt.Log, commits *[][]byte) {
	commits = new([][]byte)
	log = openAt(t, dir, bolt.Between(bolt.Options{},
		func(decided *commit.Commit, _ func(*commit.Commit) error) {
			encoded, err := decided.AppendBinary(nil)
			if err != nil {
				t.Error(err)
			}
			*commits = append(*commits, encoded)
		}))
	return log, commits
}

// TestForeignCommit: while a commit is decided and not applied, the log is read, backed up and trimmed, and
// takes commits that another process has decided. The commit is then decided again, because what it was
// decided on has changed: a key that the other has used is a replay.
func TestForeignCommit(t *testing.T) {
	here, there, hold := t.TempDir(), t.TempDir(), newHolder()
	seed := openAt(t, here, bolt.Options{})
	events := appendN(t, seed, 40, "a", "b")
	closeLog(t, seed)
	copyFile(t, logFile(here), logFile(there))

	other, commits := node(t, there)
	foreign, err := other.AppendOnce(t.Context(), keyed("new", "k"))
	if err != nil {
		t.Fatal(err)
	}
	mark := store.Mark{ID: events[3].ID, Topics: store.All()}
	if _, err := other.SetMark(t.Context(), "me", "inbox", mark); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Trim(t.Context(), filterOf(t, "a"), events[10].ID); n != 5 || err != nil {
		t.Fatalf("trim: %d, %v", n, err)
	}

	log := openAt(t, here, hold.options())
	var calls sync.WaitGroup
	var result []store.Result
	calls.Go(func() {
		var err error
		if result, err = log.AppendOnce(context.Background(), keyed("new", "k")); err != nil {
			t.Error(err)
		}
	})
	apply := <-hold.held
	calls.Go(func() { // waits for its turn
		n, err := log.Trim(context.Background(), filterOf(t, "b"), events[10].ID)
		if n != 5 || err != nil {
			t.Errorf("trim beside a foreign commit: %d, %v, want 5", n, err)
		}
	})
	expect(t, log, store.All(), store.ID{}, events)
	if m, err := log.Backup(t.Context(), io.Discard); err != nil || m.Events != 40 {
		t.Errorf("backup: %+v, %v", m, err)
	}
	for _, encoded := range *commits {
		decoded, err := commit.Decode(encoded)
		if err == nil {
			err = apply(decoded)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if head := log.Head(); head != foreign[0].IDs[0] {
		t.Errorf("the head is %s, want the foreign event %s", head, foreign[0].IDs[0])
	}
	hold.release <- struct{}{}
	hold.pass(1) // the trim; the append is a replay now and commits nothing
	calls.Wait()
	if len(result) != 1 || !result[0].Replayed || result[0].IDs[0] != foreign[0].IDs[0] {
		t.Errorf("the append under a key that the other had used: %+v, want a replay of %s", result,
			foreign[0].IDs[0])
	}
	if got, err := log.Mark("me", "inbox"); err != nil || got.ID != mark.ID {
		t.Errorf("mark %+v (%v), want the foreign one", got, err)
	}
	if _, err := other.Trim(t.Context(), filterOf(t, "b"), events[10].ID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(infos(other), infos(log)); diff != "" {
		t.Errorf("the logs differ: %s", diff)
	}
	storetest.Check(t, log)
	closeLog(t, log)
	if report := verify(t, here); !report.Intact() {
		t.Errorf("verify: %+v", report)
	}
}

// TestForeignCommitRefused: a commit that follows another ID, or numbers its topics for another log, is not
// for this log; after it nothing is certain any more.
func TestForeignCommitRefused(t *testing.T) {
	for name, change := range map[string]func(*commit.Commit){
		"other ID":     func(c *commit.Commit) { c.After = store.MaxID },
		"other number": func(c *commit.Commit) { c.Topics[0].Number++ },
	} {
		t.Run(name, func(t *testing.T) {
			log := openAt(t, t.TempDir(), bolt.Between(bolt.Options{},
				func(decided *commit.Commit, apply func(*commit.Commit) error) {
					wrong := *decided
					wrong.Topics = slices.Clone(wrong.Topics)
					change(&wrong)
					if err := apply(&wrong); !errors.Is(err, store.ErrFailed) {
						t.Errorf("apply: %v, want ErrFailed", err)
					}
				}))
			drafts := []store.Draft{{Topic: "a"}}
			if _, err := store.Append(t.Context(), log, drafts); !errors.Is(err, store.ErrFailed) {
				t.Errorf("append after it: %v, want ErrFailed", err)
			}
		})
	}
}

// TestForeignTrimOfDamagedRecord: a commit names the topic of a deleted event, so that the event disappears
// from every copy of the log, even where its record cannot be read any more.
func TestForeignTrimOfDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	var damaged store.ID
	log := openAt(t, dir, bolt.Between(bolt.Options{},
		func(decided *commit.Commit, apply func(*commit.Commit) error) {
			if damaged.IsZero() {
				return
			}
			err := apply(&commit.Commit{After: decided.After, Last: decided.After,
				Trims: []commit.Trim{{Topic: 0, ID: damaged}}})
			if damaged = (store.ID{}); err != nil {
				t.Error(err)
			}
		}))
	events := appendN(t, log, 3, "a")
	storetest.Flip(t, logFile(dir), string(events[0].Data))
	if _, err := log.Get(events[0].ID); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("get of the damaged event: %v, want ErrCorrupt", err)
	}
	damaged = events[0].ID
	events = append(events[1:], appendN(t, log, 1, "a")...)
	page, err := log.NewReader(store.All(), store.ID{}).Next(1)
	if err != nil || page.Trimmed.IsZero() || !page.Corrupt.IsZero() {
		t.Errorf("a page over it: %+v, %v, want it trimmed and not damaged", page, err)
	}
	expect(t, log, store.All(), store.ID{}, events)
	storetest.Check(t, log)
	closeLog(t, log)
	if report := verify(t, dir); !report.Intact() {
		t.Errorf("verify: %+v", report)
	}
}

// TestReplayBesideTrim: a retry that shares a commit with the trim of its event reports that it is gone.
func TestReplayBesideTrim(t *testing.T) {
	hold := newHolder()
	log := openAt(t, t.TempDir(), hold.options())
	var calls sync.WaitGroup
	var result []store.Result
	publish := func(key string) {
		calls.Go(func() {
			var err error
			if result, err = log.AppendOnce(context.Background(), keyed("a", key)); err != nil {
				t.Error(err)
			}
		})
	}
	publish("k")
	hold.pass(1)
	calls.Wait()
	calls.Go(func() {
		drafts := []store.Draft{{Topic: "b"}}
		if _, err := store.Append(context.Background(), log, drafts); err != nil {
			t.Error(err)
		}
	})
	<-hold.held // until both are queued
	publish("k")
	calls.Go(func() {
		n, err := log.Trim(context.Background(), filterOf(t, "a"), store.MaxID)
		if n != 1 || err != nil {
			t.Errorf("trim: %d, %v, want 1", n, err)
		}
	})
	for log.Stats().Queued < 2 {
		runtime.Gosched()
	}
	hold.release <- struct{}{}
	hold.pass(1)
	calls.Wait()
	if len(result) != 1 || !result[0].Replayed || !result[0].Trimmed {
		t.Errorf("retry beside the trim of its event: %+v, want replayed and trimmed", result)
	}
}

// TestReplayFromReplacedFile: a call that stores nothing new is not answered from a file that is no longer
// the log's.
func TestReplayFromReplacedFile(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	if _, err := log.AppendOnce(t.Context(), keyed("a", "k")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(logFile(dir), logFile(dir)+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := log.AppendOnce(t.Context(), keyed("a", "k")); !errors.Is(err, store.ErrFailed) {
		t.Errorf("retry after the file was removed: %v, want ErrFailed", err)
	}
}
