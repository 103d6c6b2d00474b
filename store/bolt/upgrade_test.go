package bolt_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// fixtureTime is when the fixtures were written, by their own clock.
func fixtureTime() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

func fixtureFile(format uint32, suffix string) string {
	return filepath.Join("testdata", fmt.Sprintf("format-%d.%s", format, suffix))
}

// fixtureGroup is the group that the fixtures hold under an idempotency key.
func fixtureGroup() store.Group {
	return store.Group{Key: "once", Drafts: []store.Draft{
		{Topic: "orders.eu", Type: "order.created", ContentType: "application/json",
			Data: []byte(`{"total": "79.87"}`),
			Attributes: []store.Attribute{{Name: "source", Value: `"/shop"`},
				{Name: "id", Value: `"1"`}}},
		{Topic: "tickets", Data: []byte("plain")},
	}}
}

// writeFixture creates the log of a fixture: everything that a file can hold, below its checkpoint and above.
func writeFixture(t *testing.T, seat store.Sequencer) (dir string) {
	dir = t.TempDir()
	log := openAt(t, dir, bolt.Options{Now: fixtureTime, Sequencer: seat})
	ctx := context.Background()
	events := appendN(t, log, 290, "orders.eu", "tickets")
	appendAll(t, log, store.Draft{Topic: "over", Type: store.TypeEnd,
		Data: []byte(`{"topic":"over"}`)})
	if _, err := log.Trim(ctx, filterOf(t, "tickets"), events[270].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := log.SetMark(ctx, "subject", "inbox",
		store.Mark{ID: events[280].ID, Topics: filterOf(t, "orders.>", "tickets")}); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	log = openAt(t, dir, bolt.Options{Now: fixtureTime, Sequencer: seat})
	if _, err := log.AppendOnce(ctx, []store.Group{fixtureGroup()}); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Trim(ctx, filterOf(t, "orders.eu"), events[100].ID); err != nil {
		t.Fatal(err)
	}
	return crash(t, dir)
}

// describe returns everything that a log reports about itself, as text.
func describe(t *testing.T, log *bolt.Log) string {
	var b strings.Builder
	fmt.Fprintf(&b, "log %s, head %s, trimmed %s\n", log.LogID(), log.Head(), log.Trimmed())
	topics := slices.SortedFunc(log.Topics(store.All()), func(a, b store.TopicInfo) int {
		return strings.Compare(a.Topic, b.Topic)
	})
	for _, i := range topics {
		fmt.Fprintf(&b, "topic %s: %d events, %d bytes, first %s, last %s, trimmed %s, ended %s\n",
			i.Topic, i.Count, i.Bytes, i.First, i.Last, i.Trimmed, i.Ended)
	}
	mark, err := log.Mark("subject", "inbox")
	fmt.Fprintf(&b, "mark %s of %s, error %v\n", mark.ID, mark.Topics, err)
	events, _ := drain(t, log, store.All(), store.ID{}, 500)
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %q %q %q %q\n", e.ID, e.Topic, e.Type, e.ContentType,
			e.Attributes, e.Data)
	}
	return b.String()
}

// TestFormats: a log of every format ever released opens, and reports what it did then. When the format
// changes (store/bolt/meta.go says when that is), keep the files in testdata and never rewrite them: they are
// the logs of the people who upgrade. Create those of the new format once, with
//
//	TIDINGS_WRITE_FIXTURE=1 go test ./store/bolt -run TestFormats
//
// and commit them with the change and the matching text of docs/FORMAT.md.
func TestFormats(t *testing.T) {
	var newest uint32
	for _, seat := range []store.Sequencer{nil, storetest.NewSequence().Seat()} { // a log, and a mirror
		dir := writeFixture(t, seat)
		format := verify(t, dir).Format
		newest = max(newest, format)
		if _, err := os.Stat(fixtureFile(format, "db.gz")); errors.Is(err, os.ErrNotExist) &&
			os.Getenv("TIDINGS_WRITE_FIXTURE") != "" {
			keepFixture(t, dir, format)
		}
	}
	for format := uint32(1); format <= newest; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) { openFixture(t, format) })
	}
}

func keepFixture(t *testing.T, dir string, format uint32) {
	file, err := os.ReadFile(logFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(file)
	text := describe(t, openAt(t, dir, bolt.Options{Now: fixtureTime, Alone: true}))
	if err := errors.Join(err, w.Close(), os.MkdirAll("testdata", 0o755),
		os.WriteFile(fixtureFile(format, "db.gz"), packed.Bytes(), 0o644),
		os.WriteFile(fixtureFile(format, "txt"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// unpackFixture writes the log that a fixture holds into dir.
func unpackFixture(t *testing.T, format uint32, dir string) {
	t.Helper()
	packed, err := os.Open(fixtureFile(format, "db.gz"))
	if err != nil {
		t.Fatalf("format %d has no fixture; the comment on TestFormats says what to do: %v", format,
			err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(r)
	if err := errors.Join(err, os.WriteFile(logFile(dir), file, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func openFixture(t *testing.T, format uint32) {
	dir := t.TempDir()
	unpackFixture(t, format, dir)
	want, err := os.ReadFile(fixtureFile(format, "txt"))
	if err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); !report.Intact() {
		t.Errorf("report %+v", report)
	}
	log := openAt(t, dir, bolt.Options{Now: fixtureTime, Alone: true})
	if diff := cmp.Diff(string(want), describe(t, log)); diff != "" {
		t.Fatalf("the log of format %d reads differently now: %s", format, diff)
	}
	storetest.Check(t, log)
	if errors.Is(log.Ready(), bolt.ErrMirror) {
		closeLog(t, log)
		if _, err := bolt.Detach(dir); err != nil {
			t.Fatal(err)
		}
		log = openAt(t, dir, bolt.Options{Now: fixtureTime})
		storetest.Check(t, log)
	}
	results, err := log.AppendOnce(context.Background(), []store.Group{fixtureGroup()})
	if err != nil || !results[0].Replayed || results[0].IDs[1] != log.Head() {
		t.Errorf("under a known key: %+v, error %v", results, err)
	}
	_, err = store.Append(context.Background(), log, []store.Draft{{Topic: "over"}})
	if !errors.Is(err, store.ErrEnded) {
		t.Errorf("to an ended topic: %v, want %v", err, store.ErrEnded)
	}
	secret := log.Secret() // which the fixture did not have
	closeLog(t, log)
	log = openAt(t, dir, bolt.Options{Now: fixtureTime})
	if log.Secret() != secret {
		t.Error("the next open finds another secret")
	}
	before, _ := drain(t, log, store.All(), store.ID{}, 500)
	expect(t, log, store.All(), store.ID{},
		append(before, appendN(t, log, 300, "tickets", "new")...))
	storetest.Check(t, log)
}
