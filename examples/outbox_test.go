package examples_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/e2e"
	"tidings/internal/sse"
)

const (
	customers = 4
	orders    = 100 // per customer
)

func TestOutbox(t *testing.T) {
	if !full() {
		t.Log("runs only with TIDINGS_FULL=1")
		return
	}
	bin := findPostgres()
	if bin == "" {
		t.Skip("PostgreSQL's initdb, which comes with the package postgresql, is not there")
	}
	t.Run("kills", func(t *testing.T) { testKills(t, newShop(t, startPostgres(t, bin))) })
	t.Run("late", func(t *testing.T) { testLate(t, newShop(t, startPostgres(t, bin))) })
}

// testKills lets customers place orders while the poller, the server and the connection between them are killed at
// random. In the end each committed order is one event, in each customer's order, and there is no other event.
func testKills(t *testing.T, s *shop) {
	s.open(t)
	t.Logf("the poller was killed %d times, the server %d times", s.poller.kills.Load(),
		s.serverKills.Load())
	if s.poller.kills.Load() == 0 || s.serverKills.Load() == 0 {
		t.Error("the test killed nothing")
	}
	s.check(t)
}

// shop is everything that runs during the test.
type shop struct {
	db          *postgres
	front       *front
	server      *e2e.Server // like random, guarded by front.mu
	serverKills atomic.Int32
	dataDir     string
	place       string // place_order.sql
	poller      *poller
	random      *rand.Rand
}

func newShop(t *testing.T, db *postgres) *shop {
	s := &shop{db: db, dataDir: t.TempDir(), random: newRandom(t)}
	s.place = readFile(t, "outbox/place_order.sql")
	if out, err := db.run(t, readFile(t, "outbox/schema.sql")); err != nil {
		t.Fatalf("schema: %v: %s", err, out)
	}
	s.server = s.startServer(t)
	s.front = newFront(t, s.server.URL(), s.next)
	s.poller = &poller{program: build(t, "outbox"),
		env: append(e2e.Environ(), "DATABASE_URL="+db.url(), "TIDINGS_URL="+s.front.URL)}
	return s
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (s *shop) startServer(t *testing.T) *e2e.Server {
	return e2e.Start(t, e2e.Options{Binary: binary, DataDir: s.dataDir})
}

// next draws what happens to a request: mostly nothing.
func (s *shop) next() step {
	steps := []step{cut, tear, answer(503, 0), s.killPollerBefore, s.killPollerAfter,
		s.killServer(s.server, true), s.killServer(s.server, false)}
	if n := s.random.IntN(10 * len(steps)); n < 2*len(steps) {
		return steps[n/2]
	}
	return pass
}

// killPollerBefore: the event is not published.
func (s *shop) killPollerBefore(*front, http.ResponseWriter, *http.Request, []byte) {
	s.poller.kill()
	panic(http.ErrAbortHandler)
}

// killPollerAfter: the event is stored, and the row is still there.
func (s *shop) killPollerAfter(f *front, _ http.ResponseWriter, r *http.Request, body []byte) {
	f.forward(r, body)
	s.poller.kill()
	panic(http.ErrAbortHandler)
}

// killServer kills the server when it has stored the event, or is about to.
func (s *shop) killServer(server *e2e.Server, stored bool) step {
	return func(f *front, _ http.ResponseWriter, r *http.Request, body []byte) {
		var done sync.WaitGroup
		done.Go(func() {
			defer func() { _ = recover() }() // forward panics if the server dies meanwhile
			f.forward(r, body)
		})
		if stored {
			done.Wait()
		}
		server.Signal(syscall.SIGKILL)
		<-server.Exited()
		done.Wait()
		s.serverKills.Add(1)
		panic(http.ErrAbortHandler)
	}
}

// open runs the shop, and returns when all orders are placed and the outbox is empty.
func (s *shop) open(t *testing.T) {
	var closed sync.WaitGroup
	for customer := range customers {
		closed.Go(func() {
			if out, err := s.db.run(t, s.script(customer)); err != nil {
				t.Errorf("place orders: %v: %s", err, out)
			}
		})
	}
	noMore := make(chan struct{})
	go func() { closed.Wait(); close(noMore) }()
	s.supervise(t, noMore)
}

// script places a customer's orders with the recipe's own transaction, and rolls back every fifth. The total counts
// them.
func (s *shop) script(customer int) string {
	var b strings.Builder
	for i := range orders {
		sql := s.place
		if i%5 == 4 {
			sql = strings.Replace(sql, "COMMIT;", "ROLLBACK;", 1)
		}
		b.WriteString(placeBy(fmt.Sprint(customer), i, sql))
	}
	return b.String()
}

func placeBy(customer string, total int, sql string) string {
	return fmt.Sprintf("\\set customer %s\n\\set total %d\n%s\n", customer, total, sql)
}

// supervise restarts what was killed, as systemd would.
func (s *shop) supervise(t *testing.T, noMore <-chan struct{}) {
	once := false
	exited := s.poller.start(t, once)
	for {
		select {
		case <-noMore:
			noMore, once = nil, true
			s.poller.kill()
		case err := <-exited:
			if once && err == nil {
				return
			}
			if err == nil || !s.poller.wasKilled() {
				t.Fatalf("the poller ended by itself: %v\n%s", err, s.poller.log.String())
			}
			exited = s.poller.start(t, once)
		case <-s.server.Exited():
			server := s.startServer(t)
			s.front.mu.Lock()
			s.server, s.front.target = server, server.URL()
			s.front.mu.Unlock()
		}
	}
}

// order is a row of the table and the data of its event.
type order struct {
	Order    int    `json:"order"`
	Customer string `json:"customer"`
	Total    string `json:"total"`
}

func decode(t *testing.T, e sse.Event) (o order) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Data), &o); err != nil || e.Type != "order.created" {
		t.Fatalf("event of type %q with data %s: %v", e.Type, e.Data, err)
	}
	return o
}

// check compares the log with the orders, which the database kept if their transactions were committed.
func (s *shop) check(t *testing.T) {
	out,
		err := s.db.run(t,
		"SELECT json_agg(json_build_object('order', id, 'customer', customer, 'total', total::text) ORDER BY id) FROM orders;")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var placed []order
	if err := json.Unmarshal([]byte(out), &placed); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want, got := map[string][]order{}, map[string][]order{}
	for _, o := range placed {
		want[o.Customer] = append(want[o.Customer], o)
	}
	for _, e := range readTopic(t, s.server.URL(), "", "orders") {
		o := decode(t, e)
		got[o.Customer] = append(got[o.Customer], o)
	}
	if len(want) != customers || len(want["0"]) != orders*4/5 {
		t.Errorf("%d customers, the first with %d orders: the test is wrong", len(want),
			len(want["0"]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events of each customer (-placed +published):\n%s", diff)
	}
}
