package storetest

import "runtime"

// Heap is how many bytes of the heap are in use.
func Heap() int64 {
	runtime.GC()
	runtime.GC() // the first one only moves what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
