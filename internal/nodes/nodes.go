// Package nodes is how the servers that keep one log know of each other, and ask each other what only one of them
// knows, such as its subscribers. Nothing of it is in the log.
//
//	c, err := nodes.New(bus, nodes.Options{Name: "a.example.com:8080", State: state})
//	c.Answer(func(ctx context.Context, question []byte) []byte { … })
//	…
//	for _, a := range c.AskAll(ctx, question) { … }
//
// Each node reports to the others, every two seconds and whenever something changes, that it runs and how it stands. So
// a node knows those it has heard from since it was started, and nobody keeps a list of them. A node that ends says so;
// one that falls silent is remembered for another hour, so that it can be named as missing. docs/adr/0026 has the
// reasons.
package nodes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"tidings/store"
)

const (
	// HelloEvery is how often a node reports that it runs.
	HelloEvery = 2 * time.Second

	// LostAfter is how long after its last message a node counts as lost. It may still run.
	LostAfter = 10 * time.Second

	// ForgetAfter is how long a silent node is remembered.
	ForgetAfter = time.Hour

	// AskWithin bounds the wait for all answers.
	AskWithin = 2 * time.Second

	// MaxName bounds the name of a node, in bytes of UTF-8.
	MaxName = 255

	// maxFound bounds an answer to Find, in bytes: it is a yes or a no.
	maxFound = 4 << 10

	// maxNodes bounds the number of known nodes.
	maxNodes = 1000
)

// Bus carries messages between nodes, at most once, and stores none. Its methods may be called concurrently.
type Bus interface {
	// Tell sends a message to all nodes that listen.
	Tell(message []byte) error

	// Listen calls told with each message to all nodes, one at a time, and asked with each question to this node, until
	// stop is called. The context ends when the answer is sent, or nobody waits for it any longer.
	Listen(node string, told func(message []byte),
		asked func(ctx context.Context, question []byte) []byte) (stop func(), err error)

	// Ask asks one node. The context has a deadline. room is called, at most once, with the length of the answer before
	// it is in memory; false: it is refused.
	Ask(ctx context.Context, node string, question []byte, room func(bytes int) bool) ([]byte, error)
}

// State is how a node stands, as it reports itself.
type State struct {
	Lag     uint64        // commits that it has heard of but not applied
	Behind  time.Duration // at least how long it has lagged
	Silence time.Duration // since it last heard from the servers that keep the log
	Clock   time.Duration // its clock minus theirs; negative: behind
	Sends   bool          // it sends deliveries
}

// Node is one of the nodes that keep the log.
type Node struct {
	ID      string // random, new at each start
	Name    string // for people
	Label   string // Name, or name#ID while another known node has the same; ID if it has none
	Version string
	Self    bool
	Heard   time.Duration // since its last message
	Sent    time.Time     // when it last reported that it sends; zero: never, or it is this node
	State
}

// Lost reports whether the node has been silent for LostAfter or longer.
func (n *Node) Lost() bool { return n.Heard >= LostAfter }

// Options configures New.
type Options struct {
	Name    string       // of this node, for people
	Version string       // of the program
	State   func() State // of this node; nil: the zero State
	Pages   Pages        // of this node; nil: nobody calls AllPages
	Logger  *slog.Logger // default: discard
}

// Cluster is what a node knows of the others. All methods may be called concurrently.
type Cluster struct {
	bus    Bus
	o      Options
	id     string
	stop   chan struct{}
	now    chan struct{} // report at once
	ending sync.Once
	over   sync.WaitGroup
	answer atomic.Pointer[func(ctx context.Context, question []byte) []byte]
	unsent atomic.Bool // the last hello was not sent

	mu    sync.Mutex
	known map[string]*word // by ID; not this node
	left  time.Time        // when a node ended that had a page on which an alarm would be heard
	own   time.Time        // when this node last received its own hello; until the first: when the Cluster was created
	lost  int              // hellos sent since that have not come back
	deaf  bool             // that none comes back has been logged

	clashed time.Time       // when it was last logged that another node has this one's name; zero: never
	ignored map[string]bool // nodes of which it has been logged that what they say breaks a rule
}

// word is the last message of a node.
type word struct {
	hello
	hears []store.Filter
	first time.Time // when the node was first heard
	heard time.Time
	sent  time.Time // when it last reported that it sends; zero: never
}

// hello is what a node sends to all.
type hello struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Lag     uint64  `json:"lag_commits"`
	Behind  float64 `json:"lag_seconds"`
	Silence float64 `json:"silence_seconds"`
	Clock   float64 `json:"clock_seconds"`
	Sends   bool    `json:"sends"`
	Ends    bool    `json:"ends"` // it is its last
	pagesHello
}

// New begins to listen, and to report to the others. The error is the bus's.
func New(bus Bus, o Options) (*Cluster, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.State == nil {
		o.State = func() State { return State{} }
	}
	id, err := store.NewID(time.Now())
	if err != nil {
		return nil, err
	}
	c := &Cluster{bus: bus, o: o, id: fmt.Sprintf("%x", id[6:]), stop: make(chan struct{}),
		now: make(chan struct{}, 1), known: make(map[string]*word), own: time.Now(),
		ignored: make(map[string]bool)}
	leave, err := bus.Listen(c.id, c.told, c.asked)
	if err != nil {
		return nil, fmt.Errorf("listen for other servers of the log: %w", err)
	}
	c.over.Go(func() {
		defer leave()
		c.run()
	})
	return c, nil
}

// Close tells the others that this node ends, and returns once it no longer listens. On nil it does nothing.
func (c *Cluster) Close() {
	if c == nil {
		return
	}
	c.ending.Do(func() { close(c.stop) })
	c.over.Wait()
}

// Changed reports to the others at once how this node stands.
func (c *Cluster) Changed() {
	select {
	case c.now <- struct{}{}:
	default:
	}
}

// run reports to the others until the node ends.
func (c *Cluster) run() {
	ticker := time.NewTicker(HelloEvery)
	defer ticker.Stop()
	for {
		c.tell(false)
		select {
		case <-ticker.C:
		case <-c.now:
		case <-c.stop:
			c.tell(true)
			return
		}
	}
}

func (c *Cluster) tell(ends bool) {
	s := c.o.State()
	c.sayDeaf(&s)
	text, err := json.Marshal(hello{c.id, c.o.Name, c.o.Version, s.Lag, s.Behind.Seconds(), s.Silence.Seconds(),
		s.Clock.Seconds(), s.Sends, ends, c.ownPages()})
	if err == nil {
		err = c.bus.Tell(text)
	}
	if was := c.unsent.Swap(err != nil); err != nil && !was {
		c.o.Logger.Warn("cannot announce this server to the others of the log, will retry", "error", err)
	}
}

// Deaf reports whether this node does not receive its own hellos. Then it may not hear the others, or they may not hear
// it. It turns deaf some time before it counts the nodes that it no longer hears as lost.
func (c *Cluster) Deaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.own) >= 3*HelloEvery
}

// sayDeaf logs once that this node is deaf although it hears of the log: nothing reports that NATS has refused it.
func (c *Cluster) sayDeaf(s *State) {
	c.mu.Lock()
	deaf := c.lost >= int(LostAfter/HelloEvery) && time.Since(c.own) >= LostAfter // else it may have been stopped
	c.lost++
	was := c.deaf
	c.deaf = deaf && (was || s.Silence < LostAfter) // else it is cut off from everything, which the log reports
	say := c.deaf && !was
	c.mu.Unlock()
	if say {
		c.o.Logger.Error("this server does not receive its own announcements over NATS: the other servers may not " +
			"know " +
			"of it, nor it of them, and it takes no lease from them; allow its user to publish and subscribe on " +
			"tidings.<stream>.nodes.>")
	}
}

// told takes what a node sends to all. Anything but a hello is ignored: it may be from another release.
func (c *Cluster) told(message []byte) {
	var h hello
	var hears []store.Filter
	err := json.Unmarshal(message, &h)
	if err == nil {
		err = h.check()
	}
	if err == nil {
		hears, err = h.filters()
	}
	if err != nil {
		c.ignore(&h, err)
		return
	}
	for _, v := range h.Views {
		slices.Sort(v.Owners) // Visible searches them
	}
	if c.hear(&h, hears) {
		c.o.Logger.Error("two servers of the log have the same name; give each its own --node-name", "name", h.Name,
			"id", c.id, "other", h.ID)
	}
}

// hear records what a node said, and reports whether to log that it has this node's name.
func (c *Cluster) hear(h *hello, hears []store.Filter) (clashes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if h.ID == c.id {
		c.own, c.lost = now, 0
		return false
	}
	was := c.known[h.ID]
	for id, w := range c.known {
		silent := now.Sub(w.heard)
		// A node that comes back under its name has another ID.
		if silent >= ForgetAfter || silent >= LostAfter && w.replaces(h, was) {
			delete(c.known, id)
		}
	}
	clashes = c.clashes(h, now)
	switch _, ok := c.known[h.ID]; {
	case h.Ends:
		if ok && len(was.hears) > 0 {
			c.left = now
		}
		delete(c.known, h.ID)
	case ok || len(c.known) < maxNodes:
		w := &word{hello: *h, hears: hears, first: now, heard: now}
		if ok {
			w.first, w.sent = was.first, was.sent
		} else {
			c.Changed() // it does not know this node yet
		}
		if h.Sends {
			w.sent = now
		}
		c.known[h.ID] = w
	}
	return clashes
}

// ignore logs, once for each node, why nothing that it says counts. Those without a valid ID are one.
func (c *Cluster) ignore(h *hello, why error) {
	id, name := h.ID, h.Name
	if !validID(id) {
		id = ""
	}
	if len(name) > MaxName {
		name = ""
	}
	c.mu.Lock()
	say := !c.ignored[id] && len(c.ignored) < maxNodes
	if say {
		c.ignored[id] = true
	}
	c.mu.Unlock()
	if say {
		c.o.Logger.Warn("ignoring what another server of the log announces: it breaks a rule, so the server is not "+
			"known here; it may be of another release", "name", name, "id", id, "error", why)
	}
}

const idBytes = 10 // written in hexadecimal

func validID(id string) bool {
	return len(id) == 2*idBytes && strings.Trim(id, "0123456789abcdef") == ""
}

// check returns which rule a hello breaks.
func (h *hello) check() error {
	const most = float64(math.MaxInt64 / int64(time.Second))
	switch {
	case !validID(h.ID):
		return fmt.Errorf("its ID is not %d hexadecimal digits", 2*idBytes)
	case len(h.Name) > MaxName || len(h.Version) > MaxName:
		return fmt.Errorf("its name or version is longer than %d bytes", MaxName)
	case !utf8.ValidString(h.Name) || !utf8.ValidString(h.Version):
		return errors.New("its name or version is not UTF-8")
	case !(h.Behind >= 0 && h.Behind < most && h.Silence >= 0 && h.Silence < most && math.Abs(h.Clock) < most):
		return errors.New("a time is negative or too long")
	}
	return nil
}

// Answer sets f to answer the questions of others from now on; before that they get no answer. The context of a
// question ends when its answer is sent, or nobody waits for it any longer.
func (c *Cluster) Answer(f func(ctx context.Context, question []byte) []byte) { c.answer.Store(&f) }

func (c *Cluster) asked(ctx context.Context, question []byte) []byte {
	if f := c.answer.Load(); f != nil {
		return (*f)(ctx, question)
	}
	return nil
}

// Self returns the ID of this node.
func (c *Cluster) Self() string { return c.id }

// Name returns the name of this node, for people.
func (c *Cluster) Name() string { return c.o.Name }

// List returns all known nodes, including this one, sorted by name.
func (c *Cluster) List() []Node {
	self := Node{ID: c.id, Name: c.o.Name, Version: c.o.Version, Self: true, State: c.o.State()}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	names := c.names(now)
	self.Label = label(names, self.ID, self.Name)
	list := []Node{self}
	for _, w := range c.known {
		if now.Sub(w.heard) < ForgetAfter {
			list = append(list, w.node(names, now))
		}
	}
	slices.SortFunc(list, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (c *Cluster) others() []Node {
	return slices.DeleteFunc(c.List(), func(n Node) bool { return n.Self })
}

func (w *word) node(names map[string]int, now time.Time) Node {
	return Node{ID: w.ID, Name: w.Name, Label: label(names, w.ID, w.Name), Version: w.Version,
		Heard: now.Sub(w.heard), Sent: w.sent,
		State: State{Lag: w.Lag, Behind: seconds(w.Behind), Silence: seconds(w.Silence), Clock: seconds(w.Clock),
			Sends: w.Sends}}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Other returns the node with this ID; false: it is not known, or is this node. A lost node comes with false, too.
func (c *Cluster) Other(id string) (Node, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.known[id]
	if !ok {
		return Node{}, false
	}
	now := time.Now()
	n := w.node(c.names(now), now)
	return n, !n.Lost()
}

// Answer is the answer of one node. The caller owns it.
type Answer struct {
	Node Node
	Body []byte
	Err  error // why there is none
}

// errNothing is the error for a node that gives no answer to a question.
var errNothing = errors.New("it has just started, or is shutting down")

// Ask asks one node. The context needs a deadline. room is called, at most once, with the length of the answer before
// it is in memory; false: it is refused.
func (c *Cluster) Ask(ctx context.Context, id string, question []byte, room func(bytes int) bool) ([]byte, error) {
	body, err := c.bus.Ask(ctx, id, question, room)
	if err == nil && len(body) == 0 {
		err = errNothing
	}
	return body, err
}

// Find asks all other known nodes at once, for AskWithin at most, until one gives an answer for which is returns true.
// If none does, it returns the nodes that gave no answer, or one for which is returned an error. Such an error does not
// end the search: another node may have what is sought.
func (c *Cluster) Find(ctx context.Context, question []byte,
	is func(body []byte) (bool, error)) (found bool, silent []Answer) {
	ctx, cancel := context.WithTimeout(ctx, AskWithin)
	defer cancel()
	others := c.others()
	answers := make(chan Answer, len(others))
	for _, n := range others {
		go func() {
			body, err := c.Ask(ctx, n.ID, question, func(bytes int) bool { return bytes <= maxFound })
			answers <- Answer{n, body, err}
		}()
	}
	for range others {
		a := <-answers
		if a.Err == nil {
			found, a.Err = is(a.Body)
		}
		if a.Err != nil {
			silent = append(silent, a)
		} else if found {
			return true, nil
		}
	}
	return false, silent
}

// AskAll asks all other known nodes at once, and returns their answers within AskWithin. room is called concurrently,
// at most once for each answer, with its length, before it is in memory; false: it is refused.
func (c *Cluster) AskAll(ctx context.Context, question []byte, room func(bytes int) bool) []Answer {
	ctx, cancel := context.WithTimeout(ctx, AskWithin)
	defer cancel()
	others := c.others()
	answers := make([]Answer, len(others))
	var asking sync.WaitGroup
	for i, n := range others {
		asking.Go(func() {
			body, err := c.Ask(ctx, n.ID, question, room)
			answers[i] = Answer{n, body, err}
		})
	}
	asking.Wait()
	return answers
}
