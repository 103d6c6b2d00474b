package replay

import (
	"slices"

	"tidings/store"
)

const (
	// shareFrom is the size from which feeds share a frame; copying a smaller one costs no more than a
	// block that refers to it.
	shareFrom = 1 << 10

	// keepFrames bounds how much of the buffer for small frames is kept for reuse.
	keepFrames = 256 << 10
)

// frames are the frames of the tailer's current events, each encoded once for all feeds that want it.
// They belong to the tailer.
type frames struct {
	events []store.Event
	wanted [][]encoded // by event
	buf    []byte      // the small ones
}

// encoded is a frame in one format. Its bytes are valid until the next reset, shared ones forever.
type encoded struct {
	format *Format
	bytes  []byte
	shared *shared // nil if the frame is small
}

// shared are bytes that blocks of several feeds refer to.
type shared struct {
	blocks int // guarded by Tail.mu
}

// reset starts over with other events.
func (f *frames) reset(events []store.Event) {
	f.events, f.buf = events, f.buf[:0]
	if cap(f.buf) > keepFrames {
		f.buf = nil
	}
	for i := range f.wanted {
		clear(f.wanted[i])
		f.wanted[i] = f.wanted[i][:0]
	}
	for len(f.wanted) < len(events) {
		f.wanted = append(f.wanted, nil)
	}
}

// want notes that the frame of event i will be needed in the format.
func (f *frames) want(i int, format *Format) {
	if f.find(i, format) == nil {
		f.wanted[i] = append(f.wanted[i], encoded{format: format})
	}
}

// encode makes all wanted frames.
func (f *frames) encode() {
	for i := range f.events {
		for j := range f.wanted[i] {
			f.make(i, &f.wanted[i][j])
		}
	}
}

// get returns a frame, and makes it now if it was not wanted before.
func (f *frames) get(i int, format *Format) *encoded {
	if e := f.find(i, format); e != nil {
		return e
	}
	f.want(i, format)
	e := f.find(i, format)
	f.make(i, e)
	return e
}

func (f *frames) find(i int, format *Format) *encoded {
	j := slices.IndexFunc(f.wanted[i], func(e encoded) bool { return e.format == format })
	if j < 0 {
		return nil
	}
	return &f.wanted[i][j]
}

func (f *frames) make(i int, e *encoded) {
	start := len(f.buf)
	f.buf = e.format.AppendFrame(f.buf, &f.events[i])
	e.bytes = f.buf[start:len(f.buf):len(f.buf)] // stays valid when the buffer moves
	if len(e.bytes) >= shareFrom {
		e.bytes, e.shared, f.buf = slices.Clone(e.bytes), new(shared), f.buf[:start]
	}
}
