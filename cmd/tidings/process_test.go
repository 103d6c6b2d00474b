package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
)

// asProgram makes the test binary act as the program itself, for tests of a whole process.
const asProgram = "RUN_AS_TIDINGS=1"

func TestMain(m *testing.M) {
	if slices.Contains(os.Environ(), asProgram) {
		main()
	}
	os.Exit(m.Run())
}

// process is the program as its own process. It is killed when its test ends.
type process struct {
	*exec.Cmd
	ended chan struct{}
}

// launch starts the program with the outputs that prepare sets.
func launch(t *testing.T, prepare func(*exec.Cmd), args ...string) *process {
	t.Helper()
	p := &process{exec.Command(os.Args[0], args...), make(chan struct{})}
	p.Env = append(e2e.Environ(), asProgram)
	prepare(p.Cmd)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.Wait() // the state holds the result
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
	})
	return p
}

// code waits for the end of the process; -1 means that a signal killed it.
func (p *process) code(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.ProcessState.ExitCode()
	case <-time.After(e2e.Patience):
		t.Fatal("the process does not end")
		return 0
	}
}

// launchServe starts a server that logs to the pipe's end w, and returns its URL.
func launchServe(t *testing.T, w *os.File, args ...string) (p *process, url string) {
	t.Helper()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p = launch(t, func(c *exec.Cmd) { c.Stdout, c.Stderr = out, w },
		append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}, args...)...)
	out.Close()
	w.Close()
	line, err := bufio.NewReader(r).ReadString('\n')
	r.Close()
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("serve printed %q, %v", line, err)
	}
	return p, url
}

func getText(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func losesLines(t *testing.T, url string) func() bool {
	return func() bool {
		metrics := getText(t, url+"/metrics")
		return strings.Contains(metrics, "\ntidings_log_lines_lost_total ") &&
			!strings.Contains(metrics, "\ntidings_log_lines_lost_total 0\n")
	}
}

// TestServeOutlivesWhoReadsItsLog: the server outlives both its log collector and the terminal it was started from.
func TestServeOutlivesWhoReadsItsLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, url := launchServe(t, w)
	r.Close()
	e2e.Eventually(t, "line that is lost", func() bool {
		if err := p.Process.Signal(syscall.SIGHUP); err != nil { // which logs a line
			t.Fatal(err)
		}
		return losesLines(t, url)()
	})
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
}

// TestServeDoesNotWaitForWhoReadsItsLog: a log collector that hangs delays neither requests nor the shutdown, and
// learns how much it has missed once it reads again.
func TestServeDoesNotWaitForWhoReadsItsLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, url := launchServe(t, w, "--log-level", "debug")
	for lost := losesLines(t, url); !lost(); {
		for range 100 {
			getText(t, url+"/"+strings.Repeat("x", 4000)) // each logs a line
		}
	}
	lines := bufio.NewScanner(r)
	for found := false; !found; found = strings.Contains(lines.Text(), "log lines lost") {
		if !lines.Scan() {
			t.Fatalf("the log ends without a line about those that are lost: %v", lines.Err())
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
}

func TestServeIgnoresHangups(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, url := launchServe(t, w)
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	for !strings.Contains(lines.Text(), "SIGHUP is ignored") {
		if !lines.Scan() {
			t.Fatalf("the log ends without a line about the signal: %v", lines.Err())
		}
	}
	getText(t, url+"/healthz")
}

// TestVerbsEndAtOnce: a verb whose context has ended does nothing, leaves nothing behind, and reports that by its
// exit code.
func TestVerbsEndAtOnce(t *testing.T) {
	log, dir := filledLog(t), t.TempDir()
	backup := filepath.Join(t.TempDir(), "backup")
	runCLI(t, "backup", backup, "--data-dir", log).ended(t, exitOK)
	before := files(t, log)
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		args string
		code int
	}{
		{"verify --data-dir " + log, exitFailure},
		{"compact --data-dir " + log, exitFailure},
		{"export --data-dir LOG", exitFailure},
		{"restore " + backup + " --data-dir " + filepath.Join(dir, "restored"), exitFailure},
		{"backup " + filepath.Join(dir, "copy") + " --data-dir " + log, exitFailure},
		{"import --data-dir " + filepath.Join(dir, "imported"), exitFailure},
		{"publish orders 1", exitFailure},
		{"publish --ndjson -", exitFailure},
		{"trim orders --before 01JZZZZZZZZZZZZZZZZZZZZZZZ", exitFailure},
		{"health", exitFailure},
		{"tail", exitOK},
	} {
		stdin := strings.NewReader(`{"topic":"a","type":"message","data":1}` + "\n")
		if got := runWith(ended, nil, stdin, strings.Fields(c.args)...); got.code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s%s", c.args, got.code, c.code, got.stdout,
				got.stderr)
		}
	}
	if after := files(t, log); !slices.Equal(before, after) {
		t.Errorf("the log's directory has %v now, want %v", after, before)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// filledLog returns the directory of a log with more events than a pipe buffers.
func filledLog(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(`"` + strings.Repeat("x", 1000) + `"`)
	batch := slices.Repeat([]store.Draft{{Topic: "orders", Type: "message",
		ContentType: "application/json", Data: data}}, 1000)
	if _, err := store.Append(t.Context(), log, batch); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// files returns the names below dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestSignalsEndVerbs sends each verb a signal while it waits for something that never comes.
func TestSignalsEndVerbs(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() {
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	})
	for _, c := range []struct {
		waits string // for what
		args  string // LOG, FIFO and URL belong to the run, DIR is new
		code  int
	}{
		{"stdout", "export --data-dir LOG", exitFailure},
		{"fifo", "restore --without-manifest FIFO --data-dir DIR", exitFailure},
		{"stdin", "import --data-dir DIR", exitFailure},
		{"fifo", "import FIFO --data-dir DIR", exitFailure},
		{"stdin", "publish orders --url URL", exitFailure},
		{"server", "publish orders 1 --url URL", exitFailure},
		{"stdin", "publish --ndjson - --url URL", exitFailure},
		{"fifo", "publish --ndjson FIFO --url URL", exitFailure},
		{"server", "backup DIR --url URL", exitFailure},
		{"server", "trim orders --before 01JZZZZZZZZZZZZZZZZZZZZZZZ --url URL", exitFailure},
		{"server", "health --url URL", exitFailure},
		{"server", "tail --url URL", exitOK},
	} {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			t.Run(signal.String()+" "+c.args, func(t *testing.T) {
				t.Parallel()
				if signal == syscall.SIGHUP && ossignal.Ignored(syscall.SIGHUP) {
					t.Skip("this run ignores SIGHUP, as nohup makes it, and so do its children")
				}
				args := strings.ReplaceAll(c.args, "DIR", filepath.Join(dir, rand.Text()))
				if strings.Contains(args, "LOG") {
					args = strings.ReplaceAll(args, "LOG", filledLog(t))
				}
				w := newWaiting(t, args)
				w.until(c.waits)
				if err := w.p.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if got := w.p.code(t); got != c.code {
					t.Errorf("exit code %d, want %d", got, c.code)
				}
			})
		}
	}
}

// waiting is a verb that waits for something that never comes.
type waiting struct {
	t             *testing.T
	p             *process
	server        net.Listener // which never answers
	fifo          string
	stdin, stdout *os.File
}

func newWaiting(t *testing.T, args string) *waiting {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	args = strings.NewReplacer("FIFO", fifo, "URL", "http://"+server.Addr().String()).Replace(args)
	in, stdin, inErr := os.Pipe()
	stdout, out, outErr := os.Pipe()
	if err := errors.Join(inErr, outErr); err != nil {
		t.Fatal(err)
	}
	p := launch(t, func(c *exec.Cmd) { c.Stdin, c.Stdout = in, out }, strings.Fields(args)...)
	in.Close()
	out.Close()
	t.Cleanup(func() {
		server.Close()
		stdin.Close()
		stdout.Close()
	})
	return &waiting{t: t, p: p, server: server, fifo: fifo, stdin: stdin, stdout: stdout}
}

// until returns once the verb waits for this side.
func (w *waiting) until(whom string) {
	w.t.Helper()
	var err error
	switch whom {
	case "server":
		var conn net.Conn
		if conn, err = w.server.Accept(); err == nil {
			_, err = conn.Read(make([]byte, 1))
			w.t.Cleanup(func() { conn.Close() })
		}
	case "fifo":
		var f *os.File
		if f, err = os.OpenFile(w.fifo, os.O_WRONLY, 0); err == nil {
			w.t.Cleanup(func() { f.Close() })
		}
	case "stdin": // more than the pipe buffers
		_, err = w.stdin.Write(bytes.Repeat([]byte(" "), 1<<20))
	case "stdout":
		_, err = w.stdout.Read(make([]byte, 1))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestSecondSignalKills: the first one only asks, and the server may still be waiting for its clients.
func TestSecondSignalKills(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, url := launchServe(t, w, "--shutdown-timeout", "1h")
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// net/http waits for a connection that has not sent anything yet, and a response on a later one proves that
	// this one is accepted
	resp, err := http.Get(url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	for !strings.Contains(lines.Text(), "shutting down") {
		if !lines.Scan() {
			t.Fatalf("the log ends: %v", lines.Err())
		}
	}
	e2e.Eventually(t, "end of the process", func() bool { // one may arrive before the first is handled
		return p.Process.Signal(syscall.SIGTERM) != nil
	})
	if code := p.code(t); code != -1 {
		t.Errorf("exit code %d, want a death by the signal", code)
	}
}
