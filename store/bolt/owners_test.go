package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// TestTopicShares: nobody makes more topics than are left for all others, even after a restart, and whoever
// has no name can make the rest.
func TestTopicShares(t *testing.T) {
	dir, o := t.TempDir(), bolt.Options{MaxTopics: 20}
	log, topics := openAt(t, dir, o), 0
	makes := func(owner string, n int) error {
		g := store.Group{Owner: owner}
		for i := range n {
			g.Drafts = append(g.Drafts, store.Draft{Topic: fmt.Sprint("t.", topics+i)})
		}
		_, err := log.AppendOnce(context.Background(), []store.Group{g, {Drafts: g.Drafts[:1]}})
		if err == nil {
			topics += n
		}
		return err
	}
	for _, step := range []struct {
		owner string
		n     int
		want  error
	}{{"big", 11, store.ErrTopicLimit}, {"big", 9, nil}, {"big", 2, store.ErrTopicLimit}, {"big", 1, nil},
		{"other", 5, nil}, {"other", 1, store.ErrTopicLimit}, {"third", 2, nil},
		{"", 4, store.ErrTopicLimit}, {"", 3, nil}, {"late", 1, store.ErrTopicLimit}} {
		if err := makes(step.owner, step.n); !errors.Is(err, step.want) {
			t.Fatalf("%d topics of %q: %v, want %v", step.n, step.owner, err, step.want)
		}
		closeLog(t, log)
		if report := verify(t, dir); !report.Intact() {
			t.Fatalf("report %+v", report)
		}
		log = openAt(t, dir, o)
	}
}

// TestBareTopics: a topic without events leaves its place, and its maker's share, to others until it has one
// again; also after a restart, with or without a checkpoint. All topics together are at most twice as many.
func TestBareTopics(t *testing.T) {
	dir, o := t.TempDir(), bolt.Options{MaxTopics: 4}
	log := openAt(t, dir, o)
	for i, step := range []struct {
		owner, topic string
		trim         bool
		want         error
		bare         int
	}{
		{owner: "a", topic: "a1"}, {owner: "a", topic: "a2"},
		{owner: "a", topic: "a3", want: store.ErrTopicLimit},
		{topic: "a1", trim: true, bare: 1},
		{owner: "a", topic: "a3", bare: 1},
		{owner: "a", topic: "a4", want: store.ErrTopicLimit, bare: 1},
		{owner: "b", topic: "b1", bare: 1},
		{owner: "b", topic: "b2", want: store.ErrTopicLimit, bare: 1},
		{owner: "b", topic: "a1"}, // again, by anyone
		{topic: "c1", want: store.ErrTopicLimit},
		{topic: ">", trim: true, bare: 4},                             // a1 a2 a3 b1
		{owner: "a", topic: "a4", want: store.ErrTopicLimit, bare: 4}, // four are more than are left of eight
		{topic: "c1", bare: 4}, {topic: "c2", bare: 4}, {topic: "c3", bare: 4}, {topic: "c4", bare: 4},
		{topic: "c1", trim: true, bare: 5},
		{topic: "c5", want: store.ErrTopicLimit, bare: 5}, // there are eight in all
		{topic: "a2", bare: 4},
	} {
		var err error
		if f := filterOf(t, step.topic); step.trim {
			_, err = log.Trim(t.Context(), f, store.MaxID)
		} else {
			_, err = log.AppendOnce(t.Context(), []store.Group{{Owner: step.owner,
				Drafts: []store.Draft{{Topic: step.topic}}}})
		}
		if !errors.Is(err, step.want) {
			t.Fatalf("step %d: %v, want %v", i, err, step.want)
		}
		if i%2 == 1 {
			closeLog(t, log)
			log = openAt(t, dir, o)
		}
		if info, err := log.Info(); err != nil || info.Bare != step.bare {
			t.Fatalf("step %d: %d topics are bare (%v), want %d", i, info.Bare, err, step.bare)
		}
	}
}

// TestDamagedOwner: a topic whose owner cannot be read has none, and verify reports it.
func TestDamagedOwner(t *testing.T) {
	dir, o := t.TempDir(), bolt.Options{MaxTopics: 3}
	log := openAt(t, dir, o)
	append1 := func(topic string) error {
		_, err := log.AppendOnce(context.Background(), []store.Group{{Owner: "me",
			Drafts: []store.Draft{{Topic: topic}}}})
		return err
	}
	if err := append1("a"); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	alter(t, dir, func(tx *bbolt.Tx) error {
		b, key := tx.Bucket([]byte("owners")), make([]byte, 4)
		v := slices.Clone(b.Get(key))
		v[5]++
		return b.Put(key, v)
	})
	if report := verify(t, dir); report.Intact() {
		t.Error("verify finds nothing")
	}
	log = openAt(t, dir, o)
	if err := append1("b"); err != nil {
		t.Errorf("with the first topic nobody's: %v", err)
	}
}
