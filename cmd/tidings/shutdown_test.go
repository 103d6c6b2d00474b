package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwaitClose: a log that does not close is not waited for; one that is a little late is.
func TestAwaitClose(t *testing.T) {
	failure := errors.New("failure")
	for _, c := range []struct {
		takes, want time.Duration
		err         error
	}{
		{time.Second, time.Second, failure}, {10 * time.Second, 10 * time.Second, failure},
		{10*time.Second + closeGrace/2, 10*time.Second + closeGrace/2, failure},
		{time.Hour, 10*time.Second + closeGrace, errNotClosed},
	} {
		synctest.Test(t, func(t *testing.T) {
			deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			closed := make(chan error, 1)
			began := time.Now()
			time.AfterFunc(c.takes, func() { closed <- failure })
			if err := awaitClose(deadline, closed); !errors.Is(err, c.err) ||
				time.Since(began) != c.want {
				t.Errorf("a log that takes %v: %v after %v, want %v", c.takes, err, time.Since(began),
					c.want)
			}
		})
	}
}
