package replay_test

import (
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"tidings/replay"
	"tidings/store"
)

// client is a subscriber of the model test: what it asked for and how far it has read, over all its
// connections.
type client struct {
	patterns []string
	filter   store.Filter
	sub      *replay.Subscription
	cursor   store.ID // what it would reconnect with
	excused  store.ID // losses up to here were reported, or not asked for
}

// machine is a log and its clients, with a slice of everything ever published.
type machine struct {
	log     store.Log
	tail    *replay.Tail
	events  []modelEvent
	clients []*client
	nibbles bool // a little is trimmed before each read
}

type modelEvent struct {
	id    store.ID
	topic string
	gone  bool
}

var modelTopics = []string{"a", "a.b", "a.c", "a.b.c", "d", "d.e"}
var modelPatterns = []string{">", "*", "a", "a.b", "a.*", "a.>", "*.b", "d", "d.>", "nothing"}

// TestModel runs random schedules of publish, trim, subscribe, read, cut and resume. Whatever the
// schedule, each client gets every matching event above its start, once and in order, except those that
// were trimmed first, which are reported before the next event.
func TestModel(t *testing.T) {
	eachTail(t, func(t *testing.T, log store.Log, tail *replay.Tail) {
		rapid.Check(t, func(rt *rapid.T) {
			m := &machine{log: log, tail: tail, nibbles: rapid.Bool().Draw(rt, "nibbles")}
			first := publish(t, log, "start")[0]
			m.events = append(m.events, modelEvent{id: first, topic: "start"})
			rt.Repeat(map[string]func(*rapid.T){
				"publish":   func(rt *rapid.T) { m.publish(t, rt) },
				"trim":      func(rt *rapid.T) { m.trim(t, rt) },
				"subscribe": func(rt *rapid.T) { m.subscribe(t, rt) },
				"twin":      func(rt *rapid.T) { m.twin(t, rt) },
				"read":      func(rt *rapid.T) { m.read(t, rt) },
				"resume":    func(rt *rapid.T) { m.resume(t, rt) },
			})
			for _, c := range m.clients {
				m.drain(t, rt, c)
				m.checkCaughtUp(rt, c)
				c.sub.Close()
			}
		})
	})
}

// drain reads until the client has read everything.
func (m *machine) drain(t *testing.T, rt *rapid.T, c *client) {
	for {
		got, caughtUp := next(t, c.sub)
		for _, g := range got {
			m.check(rt, c, g)
		}
		if caughtUp && !c.sub.Position().Before(m.log.Head()) {
			return
		}
		if m.nibbles && len(got) > 0 {
			m.nibble(t, rt)
		}
		runtime.Gosched() // the tailer may still be at work
	}
}

func (m *machine) publish(t *testing.T, rt *rapid.T) {
	topics := rapid.SliceOfN(rapid.SampledFrom(modelTopics), 1, 40).Draw(rt, "topics")
	for i, id := range publish(t, m.log, topics...) {
		m.events = append(m.events, modelEvent{id: id, topic: topics[i]})
	}
}

func (m *machine) trim(t *testing.T, rt *rapid.T) {
	m.trimBefore(t, rt, rapid.SampledFrom(m.events).Draw(rt, "before").id)
}

// nibble trims a few of the oldest events, which are below most cursors.
func (m *machine) nibble(t *testing.T, rt *rapid.T) {
	for i := range m.events {
		if !m.events[i].gone {
			end := min(len(m.events)-1, i+rapid.IntRange(1, 3).Draw(rt, "nibble"))
			m.trimBefore(t, rt, m.events[end].id)
			return
		}
	}
}

func (m *machine) trimBefore(t *testing.T, rt *rapid.T, before store.ID) {
	f := filter(t, rapid.SampledFrom(modelPatterns).Draw(rt, "pattern"))
	if _, err := m.log.Trim(t.Context(), f, before); err != nil {
		rt.Fatal(err)
	}
	for i := range m.events {
		if e := &m.events[i]; e.id.Before(before) && f.Match(e.topic) {
			e.gone = true
		}
	}
}

func (m *machine) subscribe(t *testing.T, rt *rapid.T) {
	m.subscribeTo(t, rt, rapid.SliceOfN(rapid.SampledFrom(modelPatterns), 1, 3).Draw(rt, "patterns"))
}

// twin subscribes to the patterns of another client, so that they share what they read.
func (m *machine) twin(t *testing.T, rt *rapid.T) {
	if len(m.clients) == 0 {
		rt.Skip("nobody to be like")
	}
	m.subscribeTo(t, rt, rapid.SampledFrom(m.clients).Draw(rt, "client").patterns)
}

func (m *machine) subscribeTo(t *testing.T, rt *rapid.T, patterns []string) {
	c := &client{patterns: patterns, filter: filter(t, patterns...)}
	var start replay.Start
	switch rapid.IntRange(0, 2).Draw(rt, "start") {
	case 0:
		c.cursor, start = m.log.Head(), replay.Latest()
	case 1:
		// No further back than this run: all runs share one log.
		c.cursor = m.events[0].id
		start = replay.After(c.cursor.String())
	case 2:
		c.cursor = rapid.SampledFrom(m.events).Draw(rt, "after").id
		start = replay.After(c.cursor.String())
	}
	c.sub = subscribe(t, m.tail, c.filter, start)
	if got := c.sub.OpenID(); got != c.cursor {
		rt.Fatalf("open ID %v, want %v", got, c.cursor)
	}
	m.clients = append(m.clients, c)
}

func (m *machine) read(t *testing.T, rt *rapid.T) {
	if len(m.clients) == 0 {
		rt.Skip("nobody to read")
	}
	c := rapid.SampledFrom(m.clients).Draw(rt, "client")
	if m.nibbles {
		m.nibble(t, rt)
	}
	got, caughtUp := next(t, c.sub)
	for _, g := range got {
		m.check(rt, c, g)
	}
	if caughtUp { // a heartbeat may move the cursor now
		m.checkNothingBetween(rt, c, c.sub.Position())
		c.cursor = c.sub.Position()
	}
}

func (m *machine) resume(t *testing.T, rt *rapid.T) {
	if len(m.clients) == 0 {
		rt.Skip("nobody to resume")
	}
	c := rapid.SampledFrom(m.clients).Draw(rt, "client")
	c.sub.Close()
	c.sub = subscribe(t, m.tail, c.filter, replay.After(c.cursor.String()))
	c.excused = store.ID{}
	if got := c.sub.OpenID(); got != c.cursor {
		rt.Fatalf("open ID %v after a resume from %v", got, c.cursor)
	}
}

// check checks the next thing that c got.
func (m *machine) check(rt *rapid.T, c *client, got told) {
	if got.gap != nil {
		m.checkGap(rt, c, got.gap)
		return
	}
	e := m.find(got.id)
	if e == nil || !c.filter.Match(e.topic) {
		rt.Fatalf("%v got %v, which is not for it", c.patterns, got.id)
	}
	if e.gone {
		rt.Fatalf("%v got %v, which had been trimmed", c.patterns, got.id)
	}
	if !c.cursor.Before(got.id) {
		rt.Fatalf("%v got %v after %v: again, or out of order", c.patterns, got.id, c.cursor)
	}
	m.checkNothingBetween(rt, c, got.id.Prev())
	c.cursor = got.id
}

// checkNothingBetween checks that nothing above the cursor and up to the given ID was left out silently.
func (m *machine) checkNothingBetween(rt *rapid.T, c *client, upTo store.ID) {
	for _, e := range m.events {
		if !c.cursor.Before(e.id) || upTo.Before(e.id) || !c.filter.Match(e.topic) {
			continue
		}
		if !e.gone {
			rt.Fatalf("%v did not get %v, which is retained", c.patterns, e.id)
		}
		if c.excused.Before(e.id) {
			rt.Fatalf("%v was not told that %v is gone", c.patterns, e.id)
		}
	}
}

// checkGap checks that the gap names the newest trimmed event that the client asked for.
func (m *machine) checkGap(rt *rapid.T, c *client, g *replay.Gap) {
	if g.Reason != replay.Expired {
		rt.Fatalf("gap %+v, want reason %q", g, replay.Expired)
	}
	var want store.ID
	for _, e := range m.events {
		if e.gone && c.cursor.Before(e.id) && c.filter.Match(e.topic) {
			want = e.id
		}
	}
	if g.Through != want {
		rt.Fatalf("gap through %v, want %v: the newest trimmed event that matches %v above %v",
			g.Through, want, c.patterns, c.cursor)
	}
	c.excused = g.Through
}

func (m *machine) checkCaughtUp(rt *rapid.T, c *client) {
	m.checkNothingBetween(rt, c, m.log.Head())
}

func (m *machine) find(id store.ID) *modelEvent {
	for i := range m.events {
		if m.events[i].id == id {
			return &m.events[i]
		}
	}
	return nil
}
