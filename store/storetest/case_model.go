package storetest

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tidings/store"
)

func modelCases() []Case {
	return []Case{{"model/random histories", modelRandom}}
}

// modelRandom plays random appends, trims and reopens on a log and on a Model that adopts its IDs, and
// compares their answers. -rapid.checks and -rapid.steps set the length.
func modelRandom(t testing.TB, open Factory) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &play{t: rt, model: NewModel(Options{}), dir: t.TempDir()}
		p.open = func() { p.log = open(t, p.dir, Options{}) }
		p.open()
		defer func() { p.log.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":      p.append,
			"append more": p.append,
			"read":        p.read,
			"read on":     p.readOn,
			"newest":      p.newest,
			"by id":       p.byID,
			"trim":        p.trim,
			"retain":      p.retain,
			"reopen":      p.reopen,
		})
		p.compareTopics()
		Check(rt, p.log)
	})
}

// play is a log and its oracle.
type play struct {
	t     *rapid.T
	dir   string
	open  func()
	log   store.Log
	model *Model
	ids   []store.ID // all ever minted
	keeps map[string]store.ID

	reader *reading // kept between the steps
}

var playTopics = []string{"orders", "orders.eu", "orders.eu.created", "orders.us",
	"tickets", "tickets.eu"}

func (p *play) append(t *rapid.T) {
	topics := rapid.SliceOfN(rapid.SampledFrom(playTopics), 1, 5).Draw(t, "topics")
	var batch []store.Draft
	for i, topic := range topics {
		batch = append(batch, store.Draft{Topic: topic, Data: fmt.Appendf(nil, "%d", len(p.ids)+i)})
	}
	ids, err := store.Append(context.Background(), p.log, batch)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	for i, id := range ids {
		if head := p.model.Head(); !head.Before(id) {
			t.Fatalf("IDs do not increase: %s is not above %s", id, head)
		}
		p.model.Adopt(committed(id, batch[i]))
	}
	p.ids = append(p.ids, ids...)
}

func (p *play) filter(t *rapid.T) store.Filter {
	pattern := rapid.SampledFrom(append([]string{">", "*", "orders.>", "orders.*", "*.eu",
		"tickets.>", "nothing"}, playTopics...))
	return filter(t, rapid.SliceOfN(pattern, 0, 3).Draw(t, "patterns")...)
}

// position draws an ID that was minted, trimmed or not, or one next to it, or an end.
func (p *play) position(t *rapid.T) store.ID {
	i := rapid.IntRange(-1, len(p.ids)).Draw(t, "position")
	if i < 0 {
		return store.ID{}
	}
	if i == len(p.ids) {
		return store.MaxID
	}
	next, _ := p.ids[i].Next()
	return rapid.SampledFrom([]store.ID{p.ids[i].Prev(), p.ids[i], next}).Draw(t, "id")
}

func (p *play) read(t *rapid.T) {
	flt, after, limit := p.filter(t), p.position(t), rapid.IntRange(1, 8).Draw(t, "max")
	want, err := p.model.NewReader(flt, after).Next(limit)
	if err != nil {
		t.Fatalf("model: %v", err)
	}
	read(t, p.log, flt, after).expectTrimmed("random read", want.Trimmed)
	read(t, p.log, flt, after).expect(limit, matching(p.model.events, flt, after))
}

// readOn continues with an older reader, or begins one.
func (p *play) readOn(t *rapid.T) {
	if p.reader == nil || rapid.IntRange(0, 3).Draw(t, "new") == 0 {
		p.reader = read(t, p.log, p.filter(t), p.position(t))
	}
	p.reader.t = t
	limit := rapid.IntRange(1, 8).Draw(t, "max")
	want, err := p.model.NewReader(p.reader.filter, p.reader.position).Next(pageSize)
	if err != nil {
		t.Fatalf("model: %v", err)
	}
	page := p.reader.next(limit)
	if page.Trimmed != want.Trimmed {
		t.Fatalf("older reader of %q: page reports %s as trimmed, want %s", p.reader.filter,
			page.Trimmed, want.Trimmed)
	}
	next, _ := page.Through.Next()
	if d := difference(page.Events, preceding(want.Events, next)); d != "" {
		t.Fatalf("older reader of %q: %s", p.reader.filter, d)
	}
}

func (p *play) newest(t *rapid.T) {
	checkNewest(t, p.log, p.model.events, p.filter(t), p.position(t),
		rapid.IntRange(0, 10).Draw(t, "n"))
}

func (p *play) byID(t *rapid.T) {
	id := p.position(t)
	_, wantErr := p.model.Get(id)
	if _, err := p.log.Get(id); (err == nil) != (wantErr == nil) {
		t.Fatalf("get of %s: %v, want %v", id, err, wantErr)
	}
	want, err := p.model.Floor(id)
	if err != nil {
		t.Fatalf("model: %v", err)
	}
	if got, err := p.log.Floor(id); err != nil || got != want {
		t.Fatalf("floor of %s is %s, %v; want %s", id, got, err, want)
	}
	checkResolved(t, p.log, p.model, id)
}

func (p *play) trim(t *rapid.T) {
	flt, before := p.filter(t), p.position(t)
	want, err := p.model.Trim(context.Background(), flt, before)
	if err != nil {
		t.Fatalf("model: %v", err)
	}
	if got, err := p.log.Trim(context.Background(), flt, before); err != nil || got != want {
		t.Fatalf("trim of %q before %s deleted %d events, %v; want %d", flt, before, got, err, want)
	}
}

func (p *play) retain(t *rapid.T) {
	flt, before := p.filter(t), p.position(t)
	drawn := make(map[string]store.Limits)
	for _, topic := range playTopics {
		drawn[topic] = store.Limits{Events: rapid.Uint64Range(0, 4).Draw(t, "events")}
		if rapid.Bool().Draw(t, "by age") {
			drawn[topic] = store.Limits{Events: drawn[topic].Events, Before: before}
		}
	}
	keep := store.Retention{Topics: flt,
		OfTopic: func(topic string) store.Limits { return drawn[topic] }}
	if rapid.Bool().Draw(t, "whole") {
		keep.Whole.Events = rapid.Uint64Range(0, 12).Draw(t, "whole events")
	}
	if rapid.Bool().Draw(t, "whole by age") {
		keep.Whole.Before = p.position(t)
	}
	if kept := p.kept(t); len(kept) > 0 {
		keep.Keep = func(topic string) store.ID { return kept[topic] }
	}
	want, err := p.model.Retain(context.Background(), keep)
	if err != nil {
		t.Fatalf("model: %v", err)
	}
	if got, err := p.log.Retain(context.Background(), keep); err != nil || got != want {
		t.Fatalf("retain of %q, %v, %+v: deleted %d events, %v; want %d", flt, drawn, keep.Whole,
			got, err, want)
	}
}

// kept returns from which event on each topic is kept. It changes only at times, so that several passes have the same.
func (p *play) kept(t *rapid.T) map[string]store.ID {
	if rapid.Bool().Draw(t, "keeps something else") {
		p.keeps = make(map[string]store.ID)
		for _, topic := range playTopics {
			if rapid.Bool().Draw(t, "keeps some of it") {
				p.keeps[topic] = p.position(t)
			}
		}
	}
	return p.keeps
}

func (p *play) reopen(t *rapid.T) {
	if err := p.log.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	p.open()
	p.reader = nil
	if got, want := p.log.Head(), p.model.Head(); got != want {
		t.Fatalf("head lost over a reopen: %s, want %s", got, want)
	}
	p.compareTopics()
}

func (p *play) compareTopics() {
	if got, want := p.log.Trimmed(), p.model.Trimmed(); got != want {
		p.t.Fatalf("trimmed mark lost: the log is trimmed up to %s, want %s", got, want)
	}
	got := make(map[string]store.TopicInfo)
	for info := range p.log.Topics(store.All()) {
		got[info.Topic] = info
	}
	for want := range p.model.Topics(store.All()) {
		want.Bytes = got[want.Topic].Bytes // each engine's own
		if got[want.Topic] != want {
			p.t.Fatalf("topic %q: the books say %+v, want %+v", want.Topic, got[want.Topic], want)
		}
		delete(got, want.Topic)
	}
	for topic := range got {
		p.t.Fatalf("topic %q is listed, but was never appended to", topic)
	}
}
