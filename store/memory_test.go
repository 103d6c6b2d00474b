package store_test

import (
	"runtime"
	"testing"

	"tidings/store"
)

// TestReaderMemory: what a reader holds between its calls is small, whether it has read one event or has
// caught up with thousands: there is one for each subscriber that is not at the head.
func TestReaderMemory(t *testing.T) {
	log := openAt(t, t.TempDir(), store.Options{})
	events := appendN(t, log, 6000, "m.1", "m.2", "m.3")
	for name, after := range map[string]store.ID{"one event": events[len(events)-2].ID, "thousands": {}} {
		t.Run(name, func(t *testing.T) {
			readers := make([]store.Reader, 100)
			before := heap()
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
			if each := (heap() - before) / int64(len(readers)); each > 16<<10 {
				t.Errorf("a reader holds %d bytes", each)
			}
			runtime.KeepAlive(readers)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // the first one only moves what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
