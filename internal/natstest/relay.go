package natstest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// StartRelayed starts three servers as Start does, but what they send each other passes through relays, which Cut
// closes. Nodes reach the servers through a Door.
func StartRelayed(t testing.TB) *Cluster {
	t.Helper()
	c := newCluster(t, 3)
	c.routes = make(map[link]*relay)
	for i := range c.servers {
		for j, peer := range c.servers {
			if i != j {
				c.routes[link{i, j}] = newRelay(t, peer.route)
			}
		}
	}
	c.start()
	return c
}

// link is the way from one server to another.
type link struct{ from, to int }

// onlyRelays keeps servers and clients from learning of addresses other than those of relays: servers advertise to
// each other one where nobody listens.
const onlyRelays = "\tno_advertise: true\n\tadvertise: \"127.0.0.1:1\"\n"

// Cut lets nothing through between two servers, as if their packets were lost: connections remain, what is sent waits,
// and a new connection gets no answer. Heal delivers what waits.
func (c *Cluster) Cut(i, j int) {
	c.routes[link{i, j}].cut()
	c.routes[link{j, i}].cut()
}

// CutClients is Cut between a server and all doors.
func (c *Cluster) CutClients(i int) {
	for _, d := range c.doors {
		d.relays[i].cut()
	}
}

// Heal ends every cut.
func (c *Cluster) Heal() {
	for _, r := range c.routes {
		r.heal()
	}
	for _, d := range c.doors {
		d.Heal()
	}
}

// Door is the way of one node to the servers.
type Door struct{ relays []*relay }

// Door makes a door.
func (c *Cluster) Door() *Door {
	d := new(Door)
	for _, s := range c.servers {
		d.relays = append(d.relays, newRelay(c.t, s.client))
	}
	c.doors = append(c.doors, d)
	return d
}

// URLs returns the URLs of the servers behind the door.
func (d *Door) URLs() (urls []string) {
	for _, r := range d.relays {
		urls = append(urls, "nats://"+r.address())
	}
	return urls
}

// Cut is Cut between the node and all servers.
func (d *Door) Cut() {
	for i := range d.relays {
		d.CutFrom(i)
	}
}

// CutFrom is Cut between the node and one server.
func (d *Door) CutFrom(i int) { d.relays[i].cut() }

// Delay has the node's bytes take this long, each way.
func (d *Door) Delay(each time.Duration) {
	for _, r := range d.relays {
		r.delay.Store(int64(each))
	}
}

// Heal ends every cut of the node.
func (d *Door) Heal() {
	for _, r := range d.relays {
		r.heal()
	}
}

// relay passes bytes between the connections that it accepts and an address.
type relay struct {
	listener net.Listener
	to       string
	delay    atomic.Int64 // a time.Duration
	busy     sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while bytes pass
	conns map[net.Conn]bool
	ended bool
}

func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, to: to, open: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(r.open)
	r.busy.Go(r.accept)
	t.Cleanup(r.end)
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passes() {
		r.open = make(chan struct{})
	}
}

func (r *relay) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.passes() {
		close(r.open)
	}
}

// passes reports whether bytes pass. The caller holds mu.
func (r *relay) passes() bool {
	select {
	case <-r.open:
		return true
	default:
		return false
	}
}

// await returns once bytes pass, and reports whether it had to wait.
func (r *relay) await() (waited bool) {
	r.mu.Lock()
	open, passes := r.open, r.passes()
	r.mu.Unlock()
	<-open
	return !passes
}

func (r *relay) end() {
	r.listener.Close()
	r.heal()
	r.mu.Lock()
	r.ended = true
	for conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	r.busy.Wait()
}

// hold keeps a connection for end to close; false: it has ended.
func (r *relay) hold(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[conn] = true
	return !r.ended
}

func (r *relay) drop(conn net.Conn) {
	conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

func (r *relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.busy.Go(func() {
			defer r.drop(conn)
			if r.hold(conn) && !r.await() { // a dialer whose packets were lost dials again
				r.pass(conn)
			}
		})
	}
}

func (r *relay) pass(client net.Conn) {
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer r.drop(server)
	if !r.hold(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { r.pump(client, server) })
	r.pump(server, client)
	back.Wait()
}

// pump passes on what one side sends, and then that it has ended.
func (r *relay) pump(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		time.Sleep(time.Duration(r.delay.Load()))
		r.await()
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			from.Close()
			return
		}
	}
}
