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
		if m.look() {
			t.Error("memory is given back while there is something to collect")
		}
	}
	gave := false
	for range 2 { // a collection may have come before the first
		gave = gave || m.look()
	}
	if !gave {
		t.Error("no memory is given back")
	}
	if more := int64(released() - before); more < burst/2 {
		t.Errorf("%d bytes given back, want %d", more, burst)
	}
}
