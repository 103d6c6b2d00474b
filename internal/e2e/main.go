package e2e

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// Main is the body of a TestMain: it builds the command, stores its path, runs the tests, and returns the exit code.
// parallel is how many tests run at once, for they mostly wait; 0 leaves that to the flags.
func Main(m *testing.M, binary *string, parallel int) int {
	dir, err := os.MkdirTemp("", "tidings-e2e")
	if err == nil {
		defer os.RemoveAll(dir)
		*binary, err = Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stopBrowsers()
	flag.Parse()
	if parallel > 0 {
		_ = flag.Set("test.parallel", strconv.Itoa(parallel))
	}
	return m.Run()
}
