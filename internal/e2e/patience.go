package e2e

import (
	"testing"
	"time"
)

// Patience is how long a harness waits for what a correct server does at once, or once a lost lease has passed to
// another node, before it calls the server hung. No verdict on a correct server depends on it.
const Patience = 2 * time.Minute

// pause is the time between two checks: what is checked needs the processor to progress.
const pause = 2 * time.Millisecond

// Eventually polls until is returns true, for what nobody reports. It fails the test after Patience.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %v there is no %s", Patience, what)
		}
		time.Sleep(pause)
	}
}
