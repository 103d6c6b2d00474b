package e2e

import (
	"testing"
	"time"
)

// Patience is how long a harness waits for what a correct server does at once, or once a lost lease has passed to
// another node, before it calls the server hung. No verdict on a correct server depends on it.
const Patience = 2 * time.Minute

// The time between two checks, which grows with the time that has passed: what is checked needs the processor to
// progress.
const (
	shortestPause = 2 * time.Millisecond
	longestPause  = 100 * time.Millisecond
)

// Eventually polls until is returns true, for what nobody reports. It fails the test after Patience.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); {
		passed := time.Since(start)
		if passed > Patience {
			t.Fatalf("after %v there is no %s", Patience, what)
		}
		time.Sleep(min(max(passed/10, shortestPause), longestPause))
	}
}
