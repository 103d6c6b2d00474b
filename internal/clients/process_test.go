package clients_test

import (
	"bufio"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// process is a program that is killed, with its children, when its test ends.
type process struct {
	cmd   *exec.Cmd
	lines chan string // of its standard output and error; closed at its end

	mu  sync.Mutex
	log strings.Builder
}

func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, lines: make(chan string, 1024)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	// so that its children can be killed with it
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(p.lines)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 4<<20) // a client writes an event as one line
		for scanner.Scan() {
			p.mu.Lock()
			p.log.WriteString(scanner.Text() + "\n")
			p.mu.Unlock()
			select {
			case p.lines <- scanner.Text():
			default: // nobody reads any more
			}
		}
	})
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended already
		wg.Wait()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("output of %s:\n%s", cmd, p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// awaitLine waits for a line that contains text.
func (p *process) awaitLine(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(e2e.Patience)
	for {
		select {
		case line, ok := <-p.lines:
			switch {
			case !ok:
				t.Fatalf("%s ended without writing %q", p.cmd, text)
			case strings.Contains(line, text):
				return
			}
		case <-timeout:
			t.Fatalf("%s does not write %q", p.cmd, text)
		}
	}
}

// versionOf returns the first line that a program prints about itself.
func versionOf(t *testing.T, command string, args ...string) string {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
