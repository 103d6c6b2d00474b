package deliver_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

const (
	hook   = "https://shop.example.com/hooks?token=capability"
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// got is a request that the receiver got.
type got struct {
	id     string
	at     time.Time
	header http.Header
	url    *url.URL
	body   string
	ok     bool // answered 2xx
	ctx    context.Context
}

// receiver receives the requests, without a network.
type receiver struct {
	mu     sync.Mutex
	all    []got
	answer func(n int, r got) *http.Response // to the nth request, from 0; nil: the connection breaks
}

// RoundTrip implements http.RoundTripper.
func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	g := got{id: req.Header.Get("Webhook-Id"), at: time.Now(), header: req.Header, url: req.URL, body: string(body),
		ctx: req.Context()}
	r.mu.Lock()
	answer, n := r.answer, len(r.all)
	r.mu.Unlock()
	resp := status(http.StatusOK)
	if answer != nil {
		resp = answer(n, g)
	}
	g.ok = resp != nil && resp.StatusCode/100 == 2
	r.mu.Lock()
	r.all = append(r.all, g)
	r.mu.Unlock()
	if resp == nil {
		return nil, errors.New("connection reset by peer")
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return resp, nil
}

func status(code int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Status: fmt.Sprintf("%d %s", code, http.StatusText(code)),
		Header: http.Header{}, Body: http.NoBody}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// always answers each request with the status.
func always(code int, header ...string) func(int, got) *http.Response {
	return func(int, got) *http.Response { return status(code, header...) }
}

func (r *receiver) set(answer func(int, got) *http.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// take returns the requests since the last call.
func (r *receiver) take() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func ids(all []got) string {
	var list []string
	for _, g := range all {
		list = append(list, g.id)
	}
	return strings.Join(list, " ")
}

// counting counts the writes of deliveries, and fails them on demand.
type counting struct {
	store.Log
	mu     sync.Mutex
	writes int
	rides  int
	most   int            // rows of a ride
	names  map[string]int // how often each was written
	err    error
}

func (c *counting) SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error {
	c.mu.Lock()
	err := c.err
	if len(changes) > 0 {
		c.writes++
		if ride {
			c.rides++
			c.most = max(c.most, len(changes))
		}
		for _, d := range changes {
			c.names[d.Name]++
		}
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if ride {
		select {
		case <-time.After(time.Second / 2): // nobody publishes
		case <-ctx.Done():
			return store.ErrQueueFull
		}
	}
	return c.Log.SetDeliveries(ctx, changes, ride)
}

func (c *counting) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *counting) count() (writes, rides int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	writes, rides = c.writes, c.rides
	c.writes, c.rides = 0, 0
	return writes, rides
}

func newLog() *counting {
	return &counting{Log: storetest.NewModel(storetest.Options{Now: time.Now}), names: make(map[string]int)}
}

// scene is a log with deliveries, and a receiver. Time is synctest's.
type scene struct {
	*deliver.Sender
	t        *testing.T
	log      *counting
	tail     *replay.Tail
	key      string // path of the secrets key
	receiver *receiver
	guard    outbound.Options
}

// test runs f in a bubble.
func test(t *testing.T, f func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, log: newLog(),
			key: filepath.Join(t.TempDir(), "secrets.key"), receiver: &receiver{}}
		s.open()
		f(t, s)
		s.close()
		s.log.Close()
	})
}

func (s *scene) open() {
	s.t.Helper()
	s.tail = replay.NewTail(s.log, replay.TailOptions{})
	sender, err := deliver.New(s.log, s.tail, deliver.Options{Guard: outbound.New(s.guard),
		Key: seal.NewFile(s.key), Client: &http.Client{Transport: s.receiver}, Version: "1",
		Console: "https://events.example.com/in/"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Sender = sender
}

func (s *scene) close() {
	s.Sender.Close()
	s.tail.Close()
}

// kill is a close that writes nothing.
func (s *scene) kill() {
	s.log.fail(store.ErrClosed)
	s.close()
	s.log.fail(nil)
	s.open()
}

func settings(patterns ...string) deliver.Settings {
	f, err := store.NewFilter(patterns...)
	if err != nil {
		panic(err)
	}
	return deliver.Settings{URL: hook, Topics: f, Secret: secret, By: "admin"}
}

func (s *scene) put(name string, set deliver.Settings) deliver.Status {
	s.t.Helper()
	status, _, err := s.Put(s.t.Context(), name, set)
	if err != nil {
		s.t.Fatalf("put %s: %v", name, err)
	}
	return status
}

func (s *scene) get(name string) deliver.Status {
	s.t.Helper()
	status, err := s.Get(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}

func (s *scene) expect(name string, want deliver.State) deliver.Status {
	s.t.Helper()
	synctest.Wait()
	status := s.get(name)
	if status.State != want {
		s.t.Fatalf("%s is %s (%s, %s), want %s", name, status.State, status.Reason, status.Failure, want)
	}
	return status
}

// publish appends n events and returns their IDs, separated by spaces.
func (s *scene) publish(n int, topics ...string) string {
	s.t.Helper()
	var list []string
	for i := range n {
		id, err := store.Append(s.t.Context(), s.log, []store.Draft{{Topic: topics[i%len(topics)],
			Type: "order.created", ContentType: "application/json", Data: fmt.Appendf(nil, `{"n":%d}`, i)}})
		if err != nil {
			s.t.Fatal(err)
		}
		list = append(list, id[0].String())
	}
	return strings.Join(list, " ")
}

// expectSent compares the requests since the last look, repeats included.
func (s *scene) expectSent(want string) []got {
	s.t.Helper()
	synctest.Wait()
	all := s.receiver.take()
	if have := ids(all); have != want {
		s.t.Errorf("sent %q, want %q", have, want)
	}
	return all
}

// takeAll returns the requests since the last look.
func (s *scene) takeAll() []got {
	synctest.Wait()
	return s.receiver.take()
}

func newSecret(fill byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(fill)), 24)))
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
