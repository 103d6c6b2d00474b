package bolt_test

import (
	"runtime"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// TestReaderMemory: a reader holds little between its calls, whether it has read one event or has caught up
// with thousands: there is one for each subscriber that is not at the head.
func TestReaderMemory(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	events := appendN(t, log, 30_000, "m.1", "x.1", "x.2", "x.3", "m.2", "x.4", "x.5", "x.6", "x.7",
		"x.8", "x.9", "x.10")
	for name, after := range map[string]store.ID{"one event": events[len(events)-13].ID,
		"thousands": {}} {
		t.Run(name, func(t *testing.T) {
			readers := make([]store.Reader, 100)
			before := storetest.Heap()
			for i := range readers {
				readers[i] = log.NewReader(filterOf(t, "m.*"), after)
				for {
					page, err := readers[i].Next(500)
					if err != nil {
						t.Fatal(err)
					}
					if len(page.Events) == 0 {
						break
					}
				}
			}
			if each := (storetest.Heap() - before) / int64(len(readers)); each > 16<<10 {
				t.Errorf("a reader holds %d bytes", each)
			}
			runtime.KeepAlive(readers)
		})
	}
}

// TestSmallReads: a read allocates in proportion to what it returns.
func TestSmallReads(t *testing.T) {
	log := openAt(t, t.TempDir(), bolt.Options{})
	events := appendN(t, log, 1000, "a")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, e := range events {
		if _, err := log.Get(e.ID); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(events)); each > 8<<10 {
		t.Errorf("a read of one small event allocates %d bytes", each)
	}
}
