package examples_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/e2e"
)

// TestWorker kills the worker and the server at random while orders arrive. In the end each order has been counted
// once. Then orders are trimmed that the worker has not read: it reports the gap, and counts the rest.
func TestWorker(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	s.start(t, nil)
	w := &worker{program: build(t, "worker"), state: filepath.Join(t.TempDir(), "stock.json"),
		random: newRandom(t), read: make(chan string, 1<<16)}
	w.front = newFront(t, s.url(), w.next)
	t.Cleanup(func() { s.Kill() }) // so that the front's last requests get a response
	want := map[string]int{}
	order := func(i int) string {
		article, pieces := string('a'+rune(i%3)), 1+i
		want[article] -= pieces
		return s.publish(t, "orders", "order.created",
			fmt.Sprintf(`{"article":%q,"pieces":%d}`, article, pieces))
	}

	stop := w.start(t)
	const orders = 60
	for i := range orders {
		if i%20 == 10 {
			s.Kill()
			s.start(t, nil)
		}
		order(i)
		w.awaitRead(t, "") // so that the worker works between two orders
	}
	w.awaitRead(t, order(orders))
	t.Logf("the worker was killed %d times", w.kills.Load())
	if w.kills.Load() == 0 {
		t.Error("the test killed nothing")
	}
	stop()
	got := w.load(t)
	if diff := cmp.Diff(want, got.Stock); diff != "" || len(got.Gaps) > 0 {
		t.Errorf("gaps %v, stock (-want +got):\n%s", got.Gaps, diff)
	}

	lost := s.publish(t, "orders", "order.created", `{"article":"a","pieces":1000}`)
	last := order(orders + 1)
	if resp, content := send(t, http.MethodPost, s.url()+"/v1/topics/orders/trim?before="+last, nil,
		""); resp.StatusCode != http.StatusOK {
		t.Fatalf("trim: %s: %s", resp.Status, content)
	}
	stop = w.start(t)
	w.awaitRead(t, last)
	stop()
	cursor := got.Cursor
	got = w.load(t)
	if diff := cmp.Diff(want, got.Stock); diff != "" {
		t.Errorf("stock after a gap (-want +got):\n%s", diff)
	}
	if len(got.Gaps) != 1 || got.Gaps[0].Reason != "expired" || got.Gaps[0].Requested != cursor {
		t.Errorf("event %s was trimmed after %s; the worker reports %v", lost, cursor, got.Gaps)
	}
}

// worker runs the example again and again, with faults.
type worker struct {
	program, state string
	front          *front
	random         *rand.Rand  // guarded by front.mu
	read           chan string // the cursors that it sent
	kills          atomic.Int32

	mu  sync.Mutex
	cmd *exec.Cmd
}

// stock is the worker's file.
type stock struct {
	Cursor string
	Stock  map[string]int
	Gaps   []struct{ Reason, Requested string }
}

func (w *worker) load(t *testing.T) (s stock) {
	t.Helper()
	if err := json.Unmarshal([]byte(readFile(t, w.state)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// start keeps the program running until stop, which waits for it to end.
func (w *worker) start(t *testing.T) (stop func()) {
	stopping := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			cmd := exec.Command(w.program, "-state", w.state)
			cmd.Env = append(e2e.Environ(), "TIDINGS_URL="+w.front.URL)
			var log bytes.Buffer
			cmd.Stderr = &log
			if !w.run(t, cmd, stopping) {
				return
			}
			if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
				t.Errorf("the worker ends by itself: %v\n%s", err, &log)
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(stopping)
		w.kill()
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// run starts the program, unless it is being stopped: then kill has nothing to end.
func (w *worker) run(t *testing.T, cmd *exec.Cmd, stopping <-chan struct{}) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-stopping:
		return false
	default:
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return false
	}
	w.cmd = cmd
	return true
}

// kill ends the run with SIGKILL, unless it has ended.
func (w *worker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cmd != nil && w.cmd.Process.Kill() == nil {
		w.kills.Add(1)
	}
}

// awaitRead waits until the worker asks for what follows an event: then it has counted that one. Without an event, it
// waits for the next request.
func (w *worker) awaitRead(t *testing.T, id string) {
	t.Helper()
	for timeout := time.After(e2e.Patience); ; {
		select {
		case cursor := <-w.read:
			if cursor == id || id == "" {
				return
			}
		case <-timeout:
			t.Fatalf("the worker does not come to %q", id)
		}
	}
}

// next draws what happens to a request: mostly it gets a page, after which the worker is killed somewhere in its work.
func (w *worker) next() step {
	steps := []step{pass, pass, cut, tear, answer(503, 0), w.killBefore, w.killAfter(0),
		w.killAfter(5 * time.Millisecond), w.killAfter(5 * time.Millisecond)}
	s := steps[w.random.IntN(len(steps))]
	return func(f *front, rw http.ResponseWriter, r *http.Request, body []byte) {
		w.read <- r.URL.Query().Get("after")
		s(f, rw, r, body)
	}
}

func (w *worker) killBefore(*front, http.ResponseWriter, *http.Request, []byte) { w.kill() }

// killAfter is called with front.mu held.
func (w *worker) killAfter(most time.Duration) step {
	after := time.Duration(w.random.Int64N(int64(most) + 1))
	return func(f *front, rw http.ResponseWriter, r *http.Request, body []byte) {
		pass(f, rw, r, body)
		_ = http.NewResponseController(rw).Flush()
		time.AfterFunc(after, w.kill)
	}
}
