package e2e_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tidings/internal/e2e"
)

// childEnv tells a child of this test binary what to be.
const childEnv = "TIDINGS_CHILD"

// children are what a child can be, by the first word of its order; the rest is the argument. A child runs until it is
// killed, or fails.
var children = map[string]func(argument string) error{
	"attack":  attack,  // does what costs the server at a URL memory
	"burn":    burn,    // keeps so many processors busy, at the lowest priority
	"work":    work,    // the same, at the usual priority
	"receive": receive, // takes deliveries
}

// childMain is the whole program of a child.
func childMain(order string) {
	what, argument, _ := strings.Cut(order, " ")
	fmt.Fprintln(os.Stderr, children[what](argument))
	os.Exit(1)
}

// startChild starts a child of this test binary, which ends with the test.
func startChild(t *testing.T, order string) (*exec.Cmd, io.Reader) {
	t.Helper()
	child := exec.Command(os.Args[0])
	return child, runChild(t, child, order)
}

// runChild is startChild for a child with attributes of its own.
func runChild(t *testing.T, child *exec.Cmd, order string) io.Reader {
	t.Helper()
	child.Env = append(e2e.Environ(), childEnv+"="+order)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait() // killed
	})
	return out
}

// yieldToOthers gives this process the lowest priority.
func yieldToOthers() error { return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19) }
