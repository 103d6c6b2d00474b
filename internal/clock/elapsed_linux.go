package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// newElapsed measures from the boot of the machine. Go's monotonic clock stops while a machine sleeps: waking up would
// look like a step.
func newElapsed() func() time.Duration {
	return func() time.Duration {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // every Linux that Go supports has it
		return time.Duration(t.Nano())
	}
}
