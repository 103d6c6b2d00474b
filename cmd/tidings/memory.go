package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

// quietFor is how long the server must have got by without a collection before it gives memory back. The runtime
// collects an idle heap about as often.
const quietFor = time.Minute

// giveBackMemory returns memory to the system while little happens. The runtime keeps what a burst needed, such as
// thousands of streams that opened at once, because the next one may need it: half of what idle streams cost.
func giveBackMemory(ctx context.Context) {
	look := time.NewTicker(quietFor)
	defer look.Stop()
	var m memory
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			m.look()
		}
	}
}

// memory is what a look at the heap has to remember.
type memory struct{ collections uint32 }

// look gives memory back if nothing has been collected since the last look and it is worth it: what is in use is about
// half of what the heap may grow to. It reports whether it did.
func (m *memory) look() (gave bool) {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	if now.NumGC == m.collections && now.HeapSys-now.HeapReleased > now.NextGC/4*3 {
		debug.FreeOSMemory()
		runtime.ReadMemStats(&now)
		gave = true
	}
	m.collections = now.NumGC
	return gave
}
