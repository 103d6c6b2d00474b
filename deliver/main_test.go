package deliver_test

import (
	"net"
	"os"
	"testing"
)

// TestMain looks a name up before any test does: package net reads its configuration once, under a channel that would
// belong to the bubble of the first test to ask, and a test in another bubble could not use it.
func TestMain(m *testing.M) {
	_, _ = net.LookupHost("localhost")
	os.Exit(m.Run())
}
