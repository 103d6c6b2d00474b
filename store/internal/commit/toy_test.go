package commit_test

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/store"
	"tidings/store/internal/commit"
	"tidings/store/storetest"
)

// toy is the smallest possible engine: a Model to read from, and encoded commits. It decides nothing
// itself: every commit comes from Decide and is applied from its bytes.
type toy struct {
	*storetest.Model
	*toyState
	opts    storetest.Options
	decider commit.Decider

	waiting sync.Mutex // guards queue
	queue   []*toyRequest
	mu      sync.Mutex // held to commit
	closed  bool
}

// toyState is what a toy keeps besides the Model, also while it is closed.
type toyState struct {
	names []string // of topics, by number
	owner []commit.Owner
	ended map[uint32]store.ID
	keys  []commit.Key // oldest first
	marks map[[2]string]store.Mark
	slots map[commit.Slot]store.ID // without the ID
}

type toyRequest struct {
	commit.Request
	commit.Outcome
	done bool
}

// toys returns a Factory of toys that remember what a closed toy of the same directory held.
func toys() storetest.Factory {
	models, states := storetest.Models(), make(map[string]*toyState)
	var mu sync.Mutex
	return func(t testing.TB, dir string, opts storetest.Options) store.Log {
		mu.Lock()
		defer mu.Unlock()
		if states[dir] == nil {
			states[dir] = &toyState{ended: make(map[uint32]store.ID),
				marks: make(map[[2]string]store.Mark), slots: make(map[commit.Slot]store.ID)}
		}
		if opts.Now == nil {
			opts.Now = time.Now
		}
		opts.KeyWindow = cmp.Or(opts.KeyWindow, store.DefaultKeyWindow)
		opts.MaxKeys = cmp.Or(opts.MaxKeys, store.DefaultMaxKeys)
		opts.MaxMarks = cmp.Or(opts.MaxMarks, store.DefaultMaxMarks)
		return &toy{Model: models(t, dir, opts).(*storetest.Model), toyState: states[dir],
			opts: opts}
	}
}

func TestToyConformance(t *testing.T) { storetest.Run(t, toys()) }

// do queues a request. The first caller decides and applies all that have gathered by then.
func (l *toy) do(r commit.Request) (commit.Outcome, error) {
	mine := &toyRequest{Request: r}
	l.waiting.Lock()
	l.queue = append(l.queue, mine)
	l.waiting.Unlock()
	runtime.Gosched() // let other callers queue first, so that batches are large
	l.mu.Lock()
	defer l.mu.Unlock()
	if !mine.done {
		l.waiting.Lock()
		batch := l.queue
		l.queue = nil
		l.waiting.Unlock()
		l.commit(batch)
	}
	return mine.Outcome, mine.Err
}

func (l *toy) commit(batch []*toyRequest) {
	requests := make([]*commit.Request, len(batch))
	for i, r := range batch {
		requests[i] = &r.Request
	}
	decided, outcomes := l.decider.Decide(toyView{l}, requests)
	encoded, err := decided.AppendBinary(nil)
	if err == nil && l.closed {
		err = store.ErrClosed
	}
	if err == nil {
		err = l.apply(encoded)
	}
	for i, r := range batch {
		if r.Outcome, r.done = outcomes[i], true; r.Err == nil || l.closed {
			r.Err = err
		}
	}
}

func (l *toy) apply(encoded []byte) error {
	c, err := commit.Decode(encoded)
	switch {
	case err != nil:
		return err
	case c.After != l.Head():
		return errors.New("the commit follows something else")
	}
	for _, t := range c.Topics {
		if int(t.Number) != len(l.names) {
			return errors.New("a topic is numbered wrongly")
		}
		l.names, l.owner = append(l.names, t.Name), append(l.owner, t.Owner)
	}
	for _, t := range c.Trims {
		if _, err := l.Model.Trim(context.Background(), l.only(t.Topic), above(t.ID)); err != nil {
			return err
		}
	}
	events := make([]store.Event, len(c.Events))
	for i, e := range c.Events {
		events[i] = store.Event{ID: e.ID, Topic: l.names[e.Topic], Type: e.Type,
			ContentType: e.ContentType, Attributes: e.Attributes, Data: e.Data}
		if e.Type == "" {
			events[i].Type = store.DefaultType
		}
		if e.Type == store.TypeEnd {
			l.ended[e.Topic] = e.ID
		}
	}
	l.Model.Adopt(events...)
	l.keys = slices.DeleteFunc(append(l.keys, c.Keys...), func(k commit.Key) bool {
		return slices.Contains(c.Forget, k.First)
	})
	for _, m := range c.Marks {
		name := [2]string{m.Subject, m.Name}
		if l.marks[name] = m.Mark; m.Deletes() {
			delete(l.marks, name)
		}
	}
	for _, s := range c.Slots {
		l.slots[commit.Slot{Topic: s.Topic, Subject: s.Subject}] = s.ID
	}
	return l.Model.SetDeliveries(context.Background(), c.Deliveries, false)
}

// only returns the Filter of the topic with this number.
func (l *toy) only(topic uint32) store.Filter {
	f, err := store.NewFilter(l.names[topic])
	if err != nil {
		panic(err) // it was a valid topic when it was named
	}
	return f
}

func above(id store.ID) store.ID {
	next, _ := id.Next()
	return next
}

func (l *toy) AppendOnce(_ context.Context, groups []store.Group) ([]store.Result, error) {
	r, err := commit.Append(groups)
	if err != nil {
		return nil, err
	}
	outcome, err := l.do(r)
	return outcome.Results, err
}

func (l *toy) SetMark(_ context.Context, subject, name string,
	mark store.Mark) (store.Mark, error) {
	r, err := commit.SetMark(subject, name, mark)
	if err != nil {
		return store.Mark{}, err
	}
	outcome, err := l.do(r)
	if err != nil {
		return store.Mark{}, err
	}
	return *outcome.Mark, nil
}

func (l *toy) DeleteMark(_ context.Context, subject, name string) error {
	r, err := commit.DeleteMark(subject, name)
	if err != nil {
		return err
	}
	_, err = l.do(r)
	return err
}

func (l *toy) SetDeliveries(_ context.Context, changes []store.NamedDelivery, _ bool) error {
	r, err := commit.SetDeliveries(changes)
	if err != nil {
		return err
	}
	_, err = l.do(r)
	return err
}

func (l *toy) Marks(subject, after string, max int) (marks []store.NamedMark, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, mark := range l.marks {
		if at[0] == subject && at[1] > after {
			marks = append(marks, store.NamedMark{Name: at[1], Mark: mark})
		}
	}
	slices.SortFunc(marks, func(a, b store.NamedMark) int { return cmp.Compare(a.Name, b.Name) })
	return marks[:min(max, len(marks))], nil
}

func (l *toy) Mark(subject, name string) (store.Mark, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mark, ok := l.marks[[2]string{subject, name}]
	switch {
	case l.closed:
		return store.Mark{}, store.ErrClosed
	case !ok:
		return store.Mark{}, store.ErrNotFound
	}
	return mark, nil
}

func (l *toy) Trim(ctx context.Context, f store.Filter, before store.ID) (int, error) {
	return l.delete(ctx, f, store.Limits{Before: before}, &store.Retention{})
}

func (l *toy) Retain(ctx context.Context, keep store.Retention) (deleted int, err error) {
	for info := range l.Topics(keep.Topics) {
		n, err := l.delete(ctx, l.only(l.number(info.Topic)), keep.OfTopic(info.Topic), &keep)
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	n, err := l.delete(ctx, store.All(), keep.Whole, &keep)
	return deleted + n, err
}

// delete walks the matching events backwards, and trims in order those beyond the limits that keep.Keep
// does not name.
func (l *toy) delete(ctx context.Context, f store.Filter, limits store.Limits, keep *store.Retention) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	reader, head := l.NewReader(f, store.ID{}), l.Head()
	var events []store.Event
	for through := (store.ID{}); through.Before(head); {
		page, err := reader.Next(1000)
		if err != nil {
			return 0, err
		}
		events, through = append(events, page.Events...), page.Through
	}
	var count, size uint64
	var trims []commit.Trim
	goes := false // this event and all older ones
	for _, e := range slices.Backward(events) {
		count, size = count+1, size+uint64(len(e.Data))
		goes = goes || e.ID.Before(limits.Before) ||
			limits.Events > 0 && count > limits.Events || limits.Bytes > 0 && size > limits.Bytes
		if from := keep.Keeps(e.Topic); goes && (from.IsZero() || e.ID.Before(from)) {
			trims = append(trims, commit.Trim{Topic: l.number(e.Topic), ID: e.ID})
		}
	}
	slices.Reverse(trims)
	outcome, err := l.do(commit.Delete(trims))
	if keep.Deleted != nil && outcome.Trimmed > 0 {
		keep.Deleted(trims[0].ID, trims[len(trims)-1].ID)
	}
	return outcome.Trimmed, err
}

func (l *toy) number(topic string) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint32(slices.Index(l.names, topic))
}

func (l *toy) Info() (store.Info, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info, err := l.Model.Info()
	info.Marks = len(l.marks)
	if info.Keys = len(l.keys); info.Keys > 0 && err == nil {
		info.OldestKey = l.keys[0].First
	}
	return info, err
}

func (l *toy) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.Model.Close()
}

// toyView is a toy as a decision sees it.
type toyView struct{ l *toy }

func (v toyView) State() commit.State {
	o := v.l.opts
	s := commit.State{Last: v.l.Head(), Now: o.Now(), Topics: len(v.l.names),
		Keys: len(v.l.keys), KeysPast: o.Now().Add(-o.KeyWindow), Marks: len(v.l.marks),
		Limits: commit.Limits{MaxTopics: store.DefaultMaxTopics, MaxMarks: o.MaxMarks,
			MaxKeys: o.MaxKeys}}
	if len(v.l.keys) > 0 {
		s.OldestKey = v.l.keys[0].First
	}
	return s
}

func (v toyView) Topic(name string) (commit.TopicState, bool) {
	n := slices.Index(v.l.names, name)
	if n < 0 {
		return commit.TopicState{}, false
	}
	state := commit.TopicState{Number: uint32(n), Ended: v.l.ended[uint32(n)]}
	for info := range v.l.Topics(v.l.only(uint32(n))) {
		state.Newest = info.Newest()
	}
	return state, true
}

func (v toyView) Trimmed(topic uint32) store.ID {
	for info := range v.l.Topics(v.l.only(topic)) {
		return info.Trimmed
	}
	return store.ID{}
}

func (v toyView) Retained(id store.ID) bool {
	_, err := v.l.Get(id)
	return err == nil
}

func (v toyView) Key(hash commit.Hash) (commit.Key, bool) {
	for _, k := range slices.Backward(v.l.keys) {
		if k.Hash == hash {
			return k, true
		}
	}
	return commit.Key{}, false
}

func (v toyView) OldestKeys(n int) []commit.Key { return v.l.keys[:min(n, len(v.l.keys))] }

func (v toyView) Shares() *commit.Shares {
	s := new(commit.Shares)
	for _, o := range v.l.owner {
		s.AddTopics(o, 1)
	}
	for _, k := range v.l.keys {
		s.AddKey(k.Hash.Owner(), k.First)
	}
	for name := range v.l.marks {
		s.AddMarks(commit.OwnerOf(name[0]), 1)
	}
	return s
}

func (v toyView) Slot(topic uint32, subject string) store.ID {
	return v.l.slots[commit.Slot{Topic: topic, Subject: subject}]
}

func (v toyView) Delivery(name string) []byte {
	d, _ := v.l.Model.Delivery(name)
	return d.Record
}

func (v toyView) Mark(subject, name string) (store.Mark, bool) {
	mark, ok := v.l.marks[[2]string{subject, name}]
	return mark, ok
}
