package examples_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// front stands between a publisher and the server and does to requests what networks and proxies do. Its address stays
// the same when the server's changes.
type front struct {
	*httptest.Server
	client *http.Client

	mu     sync.Mutex
	target string
	next   func() step // decides about each request; called with mu held
	seen   []request
}

// request is a request as it arrived.
type request struct {
	at        time.Time
	key, body string
}

// step is what happens to one request. It may panic with http.ErrAbortHandler to cut the connection.
type step func(f *front, w http.ResponseWriter, r *http.Request, body []byte)

func newFront(t *testing.T, target string, next func() step) *front {
	t.Helper()
	f := &front{client: &http.Client{Transport: &http.Transport{}}, target: target, next: next}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.Close()
		f.client.CloseIdleConnections()
	})
	return f
}

// inOrder applies the steps in order, and lets later requests pass.
func inOrder(steps ...step) func() step {
	return func() step {
		if len(steps) == 0 {
			return pass
		}
		s := steps[0]
		steps = steps[1:]
		return s
	}
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the publisher was killed
	}
	f.mu.Lock()
	f.seen = append(f.seen, request{time.Now(), r.Header.Get("Idempotency-Key"), string(body)})
	s := f.next()
	f.mu.Unlock()
	s(f, w, r, body)
}

func (f *front) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// forward forwards the request, whether or not the publisher still waits, and returns the whole response.
func (f *front) forward(r *http.Request, body []byte) (*http.Response, []byte) {
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	req, err := http.NewRequest(r.Method, target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	// only for this connection
	for _, name := range []string{"Connection", "Upgrade", "Http2-Settings"} {
		req.Header.Del(name)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler) // the server was killed
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return resp, answer
}

func pass(f *front, w http.ResponseWriter, r *http.Request, body []byte) {
	resp, answer := f.forward(r, body)
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer) // a publisher that is gone will retry
}

// cut loses the whole response.
func cut(f *front, _ http.ResponseWriter, r *http.Request, body []byte) {
	f.forward(r, body)
	panic(http.ErrAbortHandler)
}

// tear loses the second half of the response's body.
func tear(f *front, w http.ResponseWriter, r *http.Request, body []byte) {
	resp, answer := f.forward(r, body)
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer[:len(answer)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// answer responds in place of the server, with a Retry-After if after is not 0.
func answer(status, after int) step {
	return func(_ *front, w http.ResponseWriter, _ *http.Request, _ []byte) {
		if after > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(after))
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"title":"Made up","status":%d,"detail":"by the test","code":"made-up"}`,
			status)
	}
}
