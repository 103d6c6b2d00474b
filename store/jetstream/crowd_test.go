package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/internal/commit"
)

// crowd is nodes of one log on three servers, with publishers and readers that take any node, and what they were
// answered.
type crowd struct {
	servers *natstest.Cluster
	random  *rand.Rand
	nodes   []*member
	keyers  int // publishers with keys
	readers []*reader
	stream  *record
	joined  int // events in the stream when a node last joined

	ending     atomic.Bool // publishers stop after what they have in hand
	publishing sync.WaitGroup
	reading    sync.WaitGroup
	stop       context.CancelFunc // of the readers
	round      int

	mu      sync.Mutex
	acks    map[string]store.ID // by the data of the event
	refused map[string]bool     // certainly not stored
	wrong   []error
}

// member is a node, and its own publisher.
type member struct {
	door *natstest.Door
	dir  string

	mu  sync.Mutex
	log *node // nil while it is closed

	begun, stored atomic.Int64 // numbers of the last publish that began here, and of the last that was stored
}

func (m *member) get() *node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log
}

// begin starts publishers and readers.
func (c *crowd) begin() {
	c.round++
	c.ending.Store(false)
	for i := range c.nodes {
		c.publishing.Go(func() { c.once(i) })
	}
	for i := range c.keyers {
		random := rand.New(rand.NewPCG(c.random.Uint64(), 0))
		c.publishing.Go(func() { c.keyed(i/2, random) }) // two use the same keys
	}
	random := rand.New(rand.NewPCG(c.random.Uint64(), 0))
	c.publishing.Go(func() { c.retain(random) })
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	for _, r := range c.readers {
		c.reading.Go(func() { r.read(ctx, c) })
	}
}

// end stops the publishers, once each knows what became of its event, and the readers, once each has read everything.
func (c *crowd) end(t *testing.T) {
	t.Helper()
	c.ending.Store(true)
	c.publishing.Wait()
	for _, n := range c.nodes {
		c.servers.Eventually("LOG", "node that is up to date", func() bool {
			err := n.log.CatchUp(t.Context())
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	head := c.nodes[0].log.Head()
	for i, r := range c.readers {
		c.servers.Eventually("LOG", fmt.Sprint("reader ", i, " at the end"), func() bool {
			return !store.ID(*r.at.Load()).Before(head)
		})
	}
	c.stop()
	c.reading.Wait()
	for _, err := range c.wrong {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// fail notes what must not happen.
func (c *crowd) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

// once publishes by one node, without keys: what was not stored, or may not have been, is not published again.
func (c *crowd) once(by int) {
	n := c.nodes[by]
	for i := 1; !c.ending.Load(); i++ {
		log := n.get()
		if log == nil {
			pause()
			continue
		}
		text := fmt.Sprintf("round %d, once by %d: %d", c.round, by, i)
		number := n.begun.Add(1)
		result, err := log.AppendOnce(context.Background(), []store.Group{{Drafts: drafts("once", text, 1)}})
		if err == nil {
			n.stored.Store(number)
			c.acknowledged(text, result[0].IDs)
			pause()
			continue
		}
		ok, stored := retriable(err)
		if !ok {
			c.fail("publish by node %d: %w", by, err)
			return
		}
		if !stored {
			c.mu.Lock()
			c.refused[text+part(0)] = true
			c.mu.Unlock()
		}
		pause()
	}
}

// keyed publishes by any node, under keys that another publisher uses too, each until it is stored.
func (c *crowd) keyed(group int, random *rand.Rand) {
	for i := 0; !c.ending.Load(); i++ {
		key := fmt.Sprintf("round %d, key of %d: %d", c.round, group, i)
		sum := fnv.New32()
		_, _ = sum.Write([]byte(key)) // never fails
		size := 1 + int(sum.Sum32()%3)
		if sum.Sum32()%256 == 0 {
			size = 700 // too large for one message
		}
		for {
			log := c.nodes[random.IntN(len(c.nodes))].get()
			if log == nil {
				continue
			}
			result, err := log.AppendOnce(context.Background(),
				[]store.Group{{Key: key, Drafts: drafts(fmt.Sprint("keyed.", group), key, size)}})
			if err == nil {
				c.acknowledged(key, result[0].IDs)
				break
			}
			if ok, _ := retriable(err); !ok {
				c.fail("publish under a key: %w", err)
				return
			}
			pause()
		}
		pause()
	}
}

// retain deletes old events by any node.
func (c *crowd) retain(random *rand.Rand) {
	for ; !c.ending.Load(); time.Sleep(200 * time.Millisecond) {
		log := c.nodes[random.IntN(len(c.nodes))].get()
		if log == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := log.Retain(ctx, store.Retention{Whole: store.Limits{Events: 2000}})
		late := ctx.Err() != nil
		cancel()
		if ok, _ := retriable(err); err != nil && !ok && !late {
			c.fail("retain: %w", err)
		}
	}
}

// pause leaves the processor to others.
func pause() { time.Sleep(10 * time.Millisecond) }

// drafts are n events of a kilobyte with this text.
func drafts(topic, text string, n int) []store.Draft {
	list := make([]store.Draft, n)
	for i := range list {
		data := make([]byte, 1<<10)
		copy(data, text+part(i))
		list[i] = store.Draft{Topic: topic, Data: data}
	}
	return list
}

func part(i int) string { return fmt.Sprint(" part ", i) }

// acknowledged notes where events are.
func (c *crowd) acknowledged(text string, ids []store.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		if old, ok := c.acks[text+part(i)]; ok && old != id {
			c.wrong = append(c.wrong, fmt.Errorf("%s is at %s and at %s", text+part(i), old, id))
		}
		c.acks[text+part(i)] = id
	}
}

// reader follows the log, and takes another node at each page.
type reader struct {
	random *rand.Rand
	filter store.Filter
	at     atomic.Pointer[store.ID]
	got    []seen
	gaps   []gap

	checked int // events of the stream that got or gaps had
}

// seen is an event that was read.
type seen struct {
	id   store.ID
	text string
}

// gap says that matching events after from, up to through, were trimmed.
type gap struct{ from, through store.ID }

func filterOf(t *testing.T, i int) store.Filter {
	t.Helper()
	f, err := store.NewFilter([]string{">", "once", "keyed.*"}[i%3])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *reader) read(ctx context.Context, c *crowd) {
	for ctx.Err() == nil {
		log := c.nodes[r.random.IntN(len(c.nodes))].get()
		if log == nil {
			continue
		}
		from := *r.at.Load()
		if log.Head().Before(from) {
			catchUp, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			_ = log.CatchUp(catchUp) // otherwise another node
			cancel()
			continue
		}
		page, err := log.NewReader(r.filter, from).Next(1 + r.random.IntN(100))
		if err != nil {
			if !errors.Is(err, store.ErrClosed) {
				c.fail("read: %w", err)
				return
			}
			continue
		}
		if page.Through.Before(from) {
			c.fail("a page after %s ends at %s", from, page.Through)
			return
		}
		if !page.Trimmed.IsZero() {
			r.gaps = append(r.gaps, gap{from, page.Trimmed})
		}
		for _, e := range page.Events {
			r.got = append(r.got, seen{e.ID, textOf(e.Data)})
		}
		r.at.Store(&page.Through)
		if len(page.Events) == 0 {
			time.Sleep(time.Duration(len(c.readers)) * time.Millisecond) // together they take as much as a few
		}
	}
}

func textOf(data []byte) string { return string(bytes.TrimRight(data, "\x00")) }

// record is what the stream has.
type record struct {
	at      store.Place
	last    store.ID
	topics  []string
	placed  []placed // in their order
	byText  map[string]store.ID
	trimmed map[store.ID]bool
}

type placed struct {
	seen
	topic string
}

func newRecord() *record {
	return &record{byText: make(map[string]store.ID), trimmed: make(map[store.ID]bool)}
}

// catchUp reads the stream up to the head of the nodes: a leader that was just elected may not have all of it yet.
func (r *record) catchUp(t *testing.T, c *crowd, seq store.Sequencer) {
	t.Helper()
	c.servers.Eventually("LOG", "stream that has all that the nodes have", func() bool {
		err := r.follow(t.Context(), seq)
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil && !r.last.Before(c.nodes[0].log.Head())
	})
}

// follow reads the stream to its end.
func (r *record) follow(ctx context.Context, seq store.Sequencer) error {
	end, err := seq.End(ctx, r.at.Number)
	if err != nil || end == r.at {
		return err
	}
	over := errors.New("over")
	err = seq.Follow(ctx, r.at, func(at store.Place, b []byte) error {
		k, err := commit.Decode(b)
		if err == nil {
			err = r.add(k)
		}
		r.at = at
		if err == nil && at.Number >= end.Number {
			err = over
		}
		return err
	})
	if errors.Is(err, over) {
		err = nil
	}
	return err
}

// add checks a commit against all before it.
func (r *record) add(k *commit.Commit) error {
	if k.After != r.last {
		return fmt.Errorf("a commit follows %s, and the one before it ends at %s", k.After, r.last)
	}
	for _, topic := range k.Topics {
		r.topics = append(r.topics, topic.Name)
	}
	for _, e := range k.Events {
		text := textOf(e.Data)
		if !r.last.Before(e.ID) {
			return fmt.Errorf("%s comes after %s", e.ID, r.last)
		}
		if old, ok := r.byText[text]; ok {
			return fmt.Errorf("%s is stored twice, as %s and %s", text, old, e.ID)
		}
		r.last, r.byText[text] = e.ID, e.ID
		r.placed = append(r.placed, placed{seen{e.ID, text}, r.topics[e.Topic]})
	}
	if k.Last.Before(r.last) {
		return fmt.Errorf("a commit ends at %s, before its event %s", k.Last, r.last)
	}
	r.last = k.Last
	for _, trim := range k.Trims {
		r.trimmed[trim.ID] = true
	}
	return nil
}

// checkStored compares the answers to publishers with the stream.
func (c *crowd) checkStored() error {
	var all []error
	for text, id := range c.acks {
		if got := c.stream.byText[text]; got != id {
			all = append(all, fmt.Errorf("%s was stored as %s, the stream has it as %s", text, id, got))
		}
	}
	for text := range c.refused {
		if got, ok := c.stream.byText[text]; ok {
			all = append(all, fmt.Errorf("%s was refused as not stored, the stream has it as %s", text, got))
		}
	}
	return errors.Join(all...)
}

// checkReaders compares what readers got with the stream: each event once, in order, or a gap that covers it.
func (c *crowd) checkReaders() error {
	for i, r := range c.readers {
		if err := r.check(c.stream); err != nil {
			return fmt.Errorf("reader %d: %w", i, err)
		}
	}
	return nil
}

// check checks what the reader, which is at the end, got since the last check.
func (r *reader) check(stream *record) error {
	got, gaps := r.got, r.gaps
	for _, e := range stream.placed[r.checked:] {
		if !r.filter.Match(e.topic) {
			continue
		}
		if len(got) > 0 && got[0] == e.seen {
			got = got[1:]
			continue
		}
		for len(gaps) > 0 && gaps[0].through.Before(e.id) {
			gaps = gaps[1:]
		}
		if !stream.trimmed[e.id] || len(gaps) == 0 || !gaps[0].from.Before(e.id) {
			return fmt.Errorf("it did not get %s %s; the next it got is %v", e.id, e.text, got[:min(1, len(got))])
		}
	}
	if len(got) > 0 {
		return fmt.Errorf("it got %v, which the stream does not have there", got[0])
	}
	r.got, r.gaps, r.checked = nil, nil, len(stream.placed)
	return nil
}
