package bolt_test

import (
	"context"
	"os"
	"runtime"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
)

// One more event in a commit allocates at most one object besides those of bbolt itself: compared with the
// least that stores it, on the engine's side.
func TestAllocationsOfAnAppendedEvent(t *testing.T) {
	log, least := openAt(t, t.TempDir(), bolt.Options{}), openBare(t)
	drafts := batchOf(2000)
	ours := eachOf(func(n int) error {
		_, err := store.Append(context.Background(), log, drafts[:n])
		return err
	}, t)
	theirs := eachOf(func(n int) error {
		requests := make([]bareRequest, n)
		for i := range requests {
			requests[i].data = drafts[i].Data
		}
		return least.commit(requests)
	}, t)
	t.Logf("%.2f objects an event, %.2f of them bbolt's", ours, theirs)
	if ours > theirs+1 {
		t.Errorf("an event allocates %.2f objects, %.2f with bbolt alone", ours, theirs)
	}
}

// eachOf returns how many objects one more event costs a commit.
func eachOf(store func(n int) error, t *testing.T) float64 {
	allocated := func(n int) float64 {
		least := uint64(1 << 62) // other goroutines allocate too
		for range 5 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := store(n); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			least = min(least, after.Mallocs-before.Mallocs)
		}
		return float64(least)
	}
	allocated(2000) // creates what is created only once
	return (allocated(2000) - allocated(1000)) / 1000
}

// batchOf returns events of 256 bytes.
func batchOf(n int) []store.Draft {
	drafts := make([]store.Draft, n)
	for i := range drafts {
		drafts[i] = store.Draft{Topic: "orders.eu", Data: payload[:256]}
	}
	return drafts
}

// An event of a batch is written once, with little else.
func TestBytesWrittenOfABatch(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	read := func() []byte {
		file, err := os.ReadFile(logFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	const events, batches = 1000, 5
	drafts := batchOf(events)
	var bytes float64
	for i := range batches + 1 {
		before := read()
		if _, err := store.Append(context.Background(), log, drafts); err != nil {
			t.Fatal(err)
		}
		if i > 0 { // the first creates what is created only once
			after := read()
			room := make([]byte, len(after)-len(before)) // the file grows by more than is written
			bytes += 4096 * float64(pagesWritten(append(before, room...), after))
		}
	}
	each, data := bytes/events/batches, float64(len(drafts[0].Data))
	t.Logf("%.0f bytes are written for an event of %.0f", each, data)
	if each > 1.6*data {
		t.Errorf("%.0f bytes are written for an event of %.0f", each, data)
	}
}
