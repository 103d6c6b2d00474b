package storetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tidings/store"
)

// SharedCases returns the rules for several logs of one sequence. The Factory gets a Sequencer for each log.
func SharedCases() []Case {
	return []Case{
		{"shared/one history", sharedHistory},
		{"shared/one key is one event", sharedKey},
		{"shared/decided again after what came first", sharedTaken},
		{"shared/a refusal holds at the end", sharedRefusal},
		{"shared/answers that are lost", sharedLost},
		{"shared/no room", sharedNoRoom},
		{"shared/not available", sharedUnavailable},
		{"shared/catching up", sharedCatchUp},
		{"shared/a log that was closed, or was not there", sharedBehind},
		{"shared/limits are kept by both at once", sharedLimits},
		{"shared/a plan and the trims of another", sharedPlan},
		{"shared/a sequence that was put back", sharedPutBack},
		{"shared/anything, anywhere", sharedAnything},
	}
}

// RunShared runs each of SharedCases as a subtest.
func RunShared(t *testing.T, open Factory) {
	for _, c := range SharedCases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open) })
	}
}

// node is one of several logs of one sequence.
type node struct {
	*fixture
	seat *Seat
}

// startNodes opens n logs of one sequence. At the end of the case they must agree.
func startNodes(t testing.TB, open Factory, opts Options, n int) (*Sequence, []*node) {
	t.Helper()
	sequence := NewSequence()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = startNode(t, open, opts, sequence)
	}
	t.Cleanup(func() {
		for _, other := range nodes[1:] {
			if !t.Failed() && !nodes[0].closed && !other.closed {
				Agree(t, nodes[0], other)
			}
		}
	})
	return sequence, nodes
}

func startNode(t testing.TB, open Factory, opts Options, sequence *Sequence) *node {
	t.Helper()
	seat := sequence.Seat()
	opts.Sequencer = seat
	return &node{start(t, open, opts), seat}
}

// catchUp brings the node up to date.
func (n *node) catchUp() {
	n.t.Helper()
	if err := n.CatchUp(context.Background()); err != nil {
		n.t.Fatalf("catch up: %v", err)
	}
}

// Agree compares everything that Check reads of two logs of one sequence, once both are up to date.
func Agree(t TB, a, b store.Log) {
	t.Helper()
	of, other := seen(t, a), seen(t, b)
	if d := difference(of.Events, other.Events); d != "" {
		t.Fatalf("the logs have other events: %s", d)
	}
	of.Events, other.Events = nil, nil
	if diff := cmp.Diff(of, other, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the logs differ (-a +b): %s", diff)
	}
}

// sight is what a log reports about itself.
type sight struct {
	Secret        [32]byte
	Head, Trimmed store.ID
	Events        []store.Event
	Topics        map[string]store.TopicInfo
	Info          store.Info
	Resolved      map[store.ID]resolved
	Deliveries    []store.NamedDelivery
}

type resolved struct {
	Nearest store.ID
	Known   bool
}

func seen(t TB, log store.Log) sight {
	t.Helper()
	if err := log.CatchUp(context.Background()); err != nil {
		t.Fatalf("catch up: %v", err)
	}
	s := sight{Secret: log.Secret(), Head: log.Head(), Trimmed: log.Trimmed(),
		Events: read(t, log, store.Everything(), store.ID{}).drain(pageSize),
		Topics: make(map[string]store.TopicInfo), Resolved: make(map[store.ID]resolved)}
	var err error
	if s.Info, err = log.Info(); err != nil {
		t.Fatalf("info: %v", err)
	}
	s.Info.DiskBytes = 0
	if s.Deliveries, err = log.Deliveries(); err != nil {
		t.Fatalf("deliveries: %v", err)
	}
	for info := range log.Topics(store.Everything()) {
		s.Topics[info.Topic] = info
	}
	for _, id := range positions(s.Events) {
		nearest, known, err := log.Resolve(id)
		if err != nil {
			t.Fatalf("resolve %s: %v", id, err)
		}
		s.Resolved[id] = resolved{nearest, known}
	}
	return s
}
