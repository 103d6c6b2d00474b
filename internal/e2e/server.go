package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Build builds the command into dir, statically like the container image, and returns its path. It must be called from
// within the module.
func Build(dir string) (string, error) {
	path := dir + "/tidings"
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o",
		path, "tidings/cmd/tidings")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the command: %w\n%s", err, out)
	}
	return path, nil
}

// openSources opens the folders of the module. The command is not imported, so the test cache would not know that it
// has changed; but it knows what a test opens.
func openSources(t testing.TB) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	err := filepath.WalkDir(filepath.Join(filepath.Dir(here), "../.."),
		func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && slices.Contains([]string{".git",
				"node_modules"}, d.Name()) {
				return fs.SkipDir
			}
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
}

// Options says how to run a server.
type Options struct {
	Binary  string
	DataDir string
	Args    []string // more flags of serve
	Wrap    []string // a command that runs the server, such as strace
	Env     []string // this process's TIDINGS_ variables are not passed on
	Dir     string
	Sys     syscall.SysProcAttr // Setpgid is always set
}

// Server is a running "tidings serve". It is killed when its test ends. Its methods belong to the test's goroutine,
// except URL, Pid and Exited.
type Server struct {
	t      testing.TB
	cmd    *exec.Cmd
	url    string
	stdout Output
	stderr Output
	exited chan struct{}
}

// Start runs a server and waits until it listens. It fails the test if the server does not.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := Launch(t, o)
	line := s.stdout.wait(t, "listening on ", s.exited)
	s.url = strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
	return s
}

// Launch runs a server on a free port and waits for nothing.
func Launch(t testing.TB, o Options) *Server {
	t.Helper()
	openSources(t)
	args := slices.Concat(o.Wrap, []string{o.Binary, "serve", "--listen", "127.0.0.1:0",
		"--data-dir", o.DataDir}, o.Args)
	s := &Server{t: t, cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{})}
	s.cmd.Env, s.cmd.Dir, s.cmd.SysProcAttr = append(Environ(), o.Env...), o.Dir, &o.Sys
	s.cmd.SysProcAttr.Setpgid = true // signals go to the group, so that they reach a wrapped server
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start the server: %v", err)
	}
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // ExitCode reports it
	}()
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the server %s:\n%s", s.url, s.Log())
		}
	})
	return s
}

// Environ returns this process's environment without the variables that the command reads.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "TIDINGS_")
	})
}

// URL is the server's address, without a path.
func (s *Server) URL() string { return s.url }

// Pid returns the process ID, that of the wrapping command if there is one.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Exited returns a channel that is closed when the server has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Log returns what the server has written to standard error so far.
func (s *Server) Log() string { return s.stderr.String() }

// WaitLog waits for a line on standard error that contains text.
func (s *Server) WaitLog(text string) {
	s.t.Helper()
	s.stderr.wait(s.t, text, s.exited)
}

// Signal sends a signal to the server and to the command that wraps it.
func (s *Server) Signal(signal syscall.Signal) {
	s.t.Helper()
	select {
	case <-s.exited:
		return // another process may have the ID by now
	default:
	}
	if err := syscall.Kill(-s.Pid(), signal); err != nil && err != syscall.ESRCH {
		s.t.Errorf("send %v: %v", signal, err)
	}
}

// Kill ends the server with SIGKILL and waits until it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	s.Signal(syscall.SIGKILL)
	s.ExitCode()
}

// Stop ends the server with SIGTERM, and fails the test if it does not exit with 0.
func (s *Server) Stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	if code := s.ExitCode(); code != 0 {
		s.t.Fatalf("after SIGTERM the server exits with %d:\n%s", code, s.Log())
	}
}

// ExitCode waits for the end of the server; -1 means that a signal ended it.
func (s *Server) ExitCode() int {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		s.t.Fatalf("the server hangs instead of exiting:\n%s", s.Log())
		return 0
	}
}

// NewHTTPClient returns a client that keeps a connection for each of many publishers. The caller must call its
// CloseIdleConnections.
func NewHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024,
		DisableCompression: true}}
}
