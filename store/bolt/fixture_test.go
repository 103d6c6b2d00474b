package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// openAt opens the log in dir and closes it when the test ends.
func openAt(t testing.TB, dir string, o bolt.Options) *bolt.Log {
	t.Helper()
	log, err := bolt.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, log) })
	return log
}

func closeLog(t testing.TB, log *bolt.Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// appendN appends n events, to the topics in turn, in commits of at most 1,000.
func appendN(t testing.TB, log store.Log, n int, topics ...string) []store.Event {
	t.Helper()
	drafts := make([]store.Draft, n)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: topics[i%len(topics)],
			Data: fmt.Appendf(nil, "payload %08d of %s", i, log.Head())}
	}
	var events []store.Event
	for batch := range slices.Chunk(drafts, 1000) {
		events = append(events, appendAll(t, log, batch...)...)
	}
	return events
}

// appendAll appends the drafts in one commit and returns the events that the log must hold from then on.
func appendAll(t testing.TB, log store.Log, drafts ...store.Draft) []store.Event {
	t.Helper()
	ids, err := store.Append(context.Background(), log, drafts)
	if err != nil {
		t.Fatalf("append of %d drafts: %v", len(drafts), err)
	}
	events := make([]store.Event, len(ids))
	for i, id := range ids {
		events[i] = store.Event{ID: id, Topic: drafts[i].Topic, Type: store.DefaultType,
			Data: drafts[i].Data}
	}
	return events
}

// drain reads everything that f matches after the position, at most max at a time, and the IDs that the pages
// report as corrupt.
func drain(t testing.TB, log store.Log, f store.Filter, after store.ID,
	max int) (events []store.Event, corrupt []store.ID) {
	t.Helper()
	r := log.NewReader(f, after)
	for {
		page, err := r.Next(max)
		if err != nil {
			t.Fatalf("reading %q after %s: %v", f, after, err)
		}
		events = append(events, page.Events...)
		switch {
		case !page.Corrupt.IsZero():
			corrupt = append(corrupt, page.Corrupt)
			if page.Through != page.Corrupt || len(events) > 0 &&
				!events[len(events)-1].ID.Before(page.Corrupt) {
				t.Fatalf("corrupt record %s is reported out of its place, on a page through %s",
					page.Corrupt, page.Through)
			}
		case len(page.Events) == 0 && !page.Through.Before(log.Head()):
			return events, corrupt
		}
	}
}

// expect reads everything that f matches after the position and compares it with the matching events.
func expect(t testing.TB, log store.Log, f store.Filter, after store.ID, events []store.Event) {
	t.Helper()
	got, corrupt := drain(t, log, f, after, 500)
	if len(corrupt) > 0 {
		t.Errorf("reader of %q after %s reports %s as corrupt", f, after, corrupt)
	}
	same(t, fmt.Sprintf("reader of %q after %s", f, after), got, matching(events, f, after))
}

func same(t testing.TB, what string, got, want []store.Event) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i].ID != want[i].ID {
			t.Fatalf("%s: %d events, want %d; they differ from number %d on", what, len(got),
				len(want), i+1)
		}
		if !bytes.Equal(got[i].Data, want[i].Data) || got[i].Topic != want[i].Topic {
			t.Fatalf("%s: event %s has the wrong bytes: %s", what, got[i].ID,
				cmp.Diff(want[i], got[i]))
		}
	}
}

// matching returns the events that match f and follow after.
func matching(events []store.Event, f store.Filter, after store.ID) []store.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool {
		return !after.Before(e.ID) || !f.Match(e.Topic)
	})
}

func filterOf(t testing.TB, patterns ...string) store.Filter {
	t.Helper()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func logFile(dir string) string { return filepath.Join(dir, "log.db") }

// crash returns a directory with what the death of the process at this moment would leave of an idle log: the
// file as it is, without the checkpoint of Close. Only the tail that no page uses yet is cut off, because
// copying it would take most of the time of these tests.
func crash(t testing.TB, dir string) string {
	t.Helper()
	copied := t.TempDir()
	copyFile(t, logFile(dir), logFile(copied))
	if err := os.Truncate(logFile(copied), usedBytes(t, copied)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// usedBytes returns the size of the pages that a closed log uses, including free ones.
func usedBytes(t testing.TB, dir string) (size int64) {
	t.Helper()
	db, err := bbolt.Open(logFile(dir), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return size
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// edit changes the closed log file of dir in place.
func edit(t testing.TB, dir string, change func(file []byte)) {
	t.Helper()
	file, err := os.ReadFile(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	change(file)
	if err := os.WriteFile(logFile(dir), file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// alter changes the closed log file of dir as another program that knows its format could.
func alter(t testing.TB, dir string, change func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(logFile(dir), 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}
