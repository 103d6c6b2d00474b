//go:build !linux

package clock

import "time"

// newElapsed measures from now on, by Go's monotonic clock.
func newElapsed() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}
