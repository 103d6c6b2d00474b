package bolt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// TestJournalOnFullDisk: without space for a journal the topics' records are written in place, and older
// entries of the journal for them do not count any more.
func TestJournalOnFullDisk(t *testing.T) {
	disk := smallDisk(t, "tmpfs")
	dir := filepath.Join(disk, "data")
	log, model := openAt(t, dir, bolt.Options{}), storetest.NewModel(storetest.Options{})
	ever := manyTopics(t, log)
	model.Adopt(ever...)
	trim := func(before store.ID) {
		t.Helper()
		want, _ := model.Trim(t.Context(), store.All(), before)
		if n, err := log.Trim(context.Background(), store.All(), before); err != nil || n != want {
			t.Fatalf("trim: %d, %v, want %d", n, err, want)
		}
		expectEdges(t, dir, log, model, ever)
	}
	trim(ever[300].ID)
	_, before := journaled(t, crash(t, dir))
	other := filepath.Join(disk, "other")
	takeDisk(t, other)
	fresh := publishUntilFull(t, log, 500)
	fresh = append(fresh, publishSmall(t, log)...)
	ever = append(ever, fresh...)
	model.Adopt(fresh...)
	trim(ever[500].ID)
	trim(ever[700].ID)
	if _, after := journaled(t, crash(t, dir)); before <= 0 || after != before {
		t.Errorf("the journal had %d values, and on the full disk %d", before, after)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	events := appendN(t, log, 10, "t.1")
	ever = append(ever, events...)
	model.Adopt(events...)
	trim(ever[900].ID)
	if _, after := journaled(t, crash(t, dir)); after <= before {
		t.Errorf("the journal had %d values, and with space again %d", before, after)
	}
}

// TestNoCheckpointOnFullDisk: a checkpoint that is due and has no space makes no trim fail.
func TestNoCheckpointOnFullDisk(t *testing.T) {
	disk := smallDisk(t, "tmpfs")
	log := openAt(t, filepath.Join(disk, "data"), bolt.Options{})
	topics := make([]string, 600)
	for i := range topics {
		topics[i] = fmt.Sprintf("%s.%d", strings.Repeat("x", 240), i)
	}
	events := appendN(t, log, 17_000, topics...)
	if _, err := log.Trim(t.Context(), store.All(), events[16_383].ID); err != nil {
		t.Fatal(err)
	}
	takeDisk(t, filepath.Join(disk, "other"))
	for _, size := range []int{100_000, 10_000, 1000} {
		publishUntilFull(t, log, size)
	}
	publishSmall(t, log)
	if n, err := log.Trim(t.Context(), store.All(), events[16_600].ID); err != nil || n != 600-383 {
		t.Fatalf("trim on a full disk: %d, %v, want %d", n, err, 600-383)
	}
	storetest.Check(t, log)
}

// TestCheckpointWaits: a checkpoint that is due and has no space, because of many topics, does not refuse
// events for which there is space.
func TestCheckpointWaits(t *testing.T) {
	disk := storetest.SmallDisk(t, "tmpfs", 64<<20)
	log := openAt(t, filepath.Join(disk, "data"), bolt.Options{})
	topics := make([]string, 15_000)
	for i := range topics {
		topics[i] = fmt.Sprintf("%s.%d", strings.Repeat("x", 240), i)
	}
	events := appendN(t, log, 17_000, topics...) // a checkpoint comes with the last batch
	events = append(events, appendN(t, log, len(topics), topics...)...)
	takeDisk(t, filepath.Join(disk, "other"))
	for _, size := range []int{100_000, 10_000, 1000} {
		publishUntilFull(t, log, size)
	}
	if _, err := log.Trim(t.Context(), store.All(), events[4000].ID); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 { // the checkpoint is due with the last one at the latest
		if _, err := store.Append(t.Context(), log, []store.Draft{{Topic: topics[0]}}); err != nil {
			t.Fatalf("event %d of 2000, where 4000 were trimmed: %v", i, err)
		}
	}
	if report := verify(t, crash(t, filepath.Join(disk, "data"))); !report.Intact() {
		t.Errorf("%+v", report)
	}
}
