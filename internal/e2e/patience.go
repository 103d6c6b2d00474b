package e2e

import (
	"testing"
	"time"
)

// Patience is how long a harness waits for something that a correct server does at once, or by the time that a lost
// lease is another's, before it calls it hung. No verdict on a correct server depends on it.
const Patience = 2 * time.Minute

// pause is between two questions: whoever is asked needs the processor to get on.
const pause = 2 * time.Millisecond

// Eventually asks again and again whether something has come about of which nobody is told. It ends
// the test when Patience has.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %v there is no %s", Patience, what)
		}
		time.Sleep(pause)
	}
}
