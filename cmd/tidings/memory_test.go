package main

import (
	"runtime"
	"testing"
)

// TestGivesMemoryBack: what a burst needed is given back, but not while it lasts.
func TestGivesMemoryBack(t *testing.T) {
	const burst = 64 << 20
	released := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapReleased
	}
	var m memory
	clear(make([]byte, burst)) // the runtime has it now
	before := released()
	for range 3 {
		runtime.GC()
		m.look()
	}
	if more := released() - before; int64(more) > burst/2 {
		t.Errorf("%d bytes given back while there was something to collect", more)
	}
	m.look()
	m.look() // a collection may have come between the first two
	if more := int64(released() - before); more < burst/2 {
		t.Errorf("%d bytes given back, want %d", more, burst)
	}
}
