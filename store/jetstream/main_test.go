package jetstream_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more parallel tests run at a time than there are processors: they mostly wait for servers.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6")
	os.Exit(m.Run())
}
