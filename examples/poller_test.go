package examples_test

import (
	"bytes"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// poller runs the outbox's program, again and again.
type poller struct {
	program string
	env     []string
	log     bytes.Buffer // of the last run; read it only after that has ended
	kills   atomic.Int32

	mu  sync.Mutex
	cmd *exec.Cmd
}

// start runs the program. The returned channel gets the outcome of the run.
func (p *poller) start(t *testing.T, once bool) <-chan error {
	t.Helper()
	p.log.Reset()
	cmd := exec.Command(p.program)
	if once {
		cmd.Args = append(cmd.Args, "-once")
	}
	cmd.Env, cmd.Stderr = p.env, &p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	exited, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		exited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has usually ended
		<-done
	})
	return exited
}

// kill ends the run with SIGKILL, unless it has ended.
func (p *poller) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd.Process.Kill() == nil {
		p.kills.Add(1)
	}
}

// wasKilled reports whether the last run, which has ended, was killed by a signal.
func (p *poller) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}
