package bolt_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/store"
	"tidings/store/bolt"
)

// topicsOf returns what the log knows of its topics.
func topicsOf(log *bolt.Log) map[string]store.TopicInfo {
	topics := make(map[string]store.TopicInfo)
	for info := range log.Topics(store.All()) {
		topics[info.Topic] = info
	}
	return topics
}

// pagesWritten returns how many pages differ between two states of a file.
func pagesWritten(before, after []byte) (n int) {
	for at := 0; at < len(after); at += 4096 {
		if at >= len(before) || !bytes.Equal(before[at:at+4096], after[at:at+4096]) {
			n++
		}
	}
	return n
}

// TestCheckpointInPieces: killed after any commit of a checkpoint's round, including those that trim, the log
// opens with the same topics, and no commit writes many of the topics.
func TestCheckpointInPieces(t *testing.T) {
	const topics, most = 2000, 512
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprintf("%s.%d", strings.Repeat("x", 200), i) // few records on a page
	}
	events := appendN(t, log, 16_374, names...)
	if _, err := log.Trim(t.Context(), filterOf(t, names[0], names[1999]), events[4000].ID); err != nil {
		t.Fatal(err)
	}
	read := func() []byte {
		file, err := os.ReadFile(logFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	longest, before := 0, read()
	for i := range 22 {
		switch name := names[i*70]; i % 10 {
		case 2, 3:
			if _, err := log.Trim(t.Context(), filterOf(t, name, names[0]), events[8000].ID); err != nil {
				t.Fatal(err)
			}
		case 5:
			appendAll(t, log, store.Draft{Topic: name, Type: store.TypeEnd, Data: []byte("{}")})
		default:
			appendN(t, log, 1, name)
		}
		after := read()
		longest = max(longest, pagesWritten(before, after))
		before = after
		if i < 8 {
			continue // the round begins at 11
		}
		killed := crash(t, dir)
		if report := verify(t, killed); !report.Intact() {
			t.Fatalf("killed after commit %d: %q", i, report.Problems)
		}
		reopened := openAt(t, killed, bolt.Options{})
		if diff := cmp.Diff(topicsOf(log), topicsOf(reopened)); diff != "" {
			t.Fatalf("killed after commit %d, the topics differ: %s", i, diff)
		}
		closeLog(t, reopened)
	}
	t.Logf("%d pages in the longest commit", longest)
	if longest < most/20 || longest > most/8 {
		t.Errorf("the longest commit writes %d pages; want the records of %d topics, of %d", longest, most,
			topics)
	}
}
