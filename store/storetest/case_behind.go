package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tidings/store"
)

func sharedCatchUp(t testing.TB, open Factory) {
	_, nodes := startNodes(t, open, Options{}, 2)
	nodes[1].seat.Pause()
	nodes[1].seat.OnEnd(nodes[1].seat.Resume)
	events := nodes[0].append(drafts(100, "a", "b")...)
	if _, err := nodes[1].Get(events[99].ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("get what cannot be here: %v", err)
	}
	nodes[1].catchUp()
	nodes[1].expect(store.All(), store.ID{}, events)

	nodes[1].seat.OnEnd(nil)
	nodes[1].seat.Pause()
	nodes[0].trim(filter(t, "a"), events[99].ID, 50)
	nodes[1].seat.OnEnd(nodes[1].seat.Resume)
	nodes[1].catchUp() // the head does not move
	nodes[1].expect(store.All(), store.ID{}, matching(events, filter(t, "b"), store.ID{}))

	nodes[1].seat.OnEnd(nil)
	nodes[1].seat.Pause()
	nodes[0].append(drafts(1, "a")...)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := nodes[1].CatchUp(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("catch up of who gets nothing: %v, want ErrUnavailable", err)
	}
	nodes[1].seat.Resume()
}

// sharedBehind closes a node, lets much happen, reopens it, and opens a new one.
func sharedBehind(t testing.TB, open Factory) {
	sequence, nodes := startNodes(t, open, Options{}, 2)
	nodes[1].append(drafts(5, "a", "b")...)
	nodes[1].close()
	nodes[0].catchUp()
	events := nodes[0].append(drafts(50, "a", "b", "c")...)
	for i := range 20 {
		nodes[0].once("d", fmt.Sprint(i))
	}
	n, err := nodes[0].Trim(t.Context(), filter(t, "a"), events[40].ID)
	if n == 0 || err != nil {
		t.Fatalf("trim: %d, %v", n, err)
	}
	if _, err := store.Append(t.Context(), nodes[0], []store.Draft{{Topic: "b", Type: store.TypeEnd}}); err != nil {
		t.Fatal(err)
	}
	nodes[0].append(drafts(10, "a", "e")...)
	nodes[1].reopen()
	if head := nodes[1].Head(); head != nodes[0].Head() {
		t.Errorf("opened at %s, the others are at %s", head, nodes[0].Head())
	}
	late := startNode(t, open, Options{}, sequence)
	if head := late.Head(); head != nodes[0].Head() {
		t.Errorf("a new log opened at %s, the others are at %s", head, nodes[0].Head())
	}
	if r := late.once("d", "3"); !r.Replayed {
		t.Errorf("a key is not known to a new log: %+v", r)
	}
	Agree(t, nodes[0], late)
	Agree(t, nodes[0], nodes[1])
}

// sharedPutBack: a sequence that has lost its last commits, or is another one of the same name, stops a log
// that has seen them, while it runs or when it starts; and the log is unchanged.
func sharedPutBack(t testing.TB, open Factory) {
	for name, back := range map[string]func(*Sequence) *Sequence{
		"the last commit is gone": func(s *Sequence) *Sequence { return s.Copy(s.Len() - 1) },
		"all is gone":             func(s *Sequence) *Sequence { return s.Copy(0) },
		"the last commits are others": func(s *Sequence) *Sequence {
			s = s.Copy(s.Len() - 1)
			other := startNode(t, open, Options{}, s)
			other.append(drafts(1, "other")...)
			other.append(drafts(1, "other")...)
			other.close()
			return s
		},
	} {
		sequence := NewSequence()
		n := startNode(t, open, Options{}, sequence)
		events := n.append(drafts(3, "a")...)
		events = append(events, n.append(drafts(3, "a")...)...)
		n.seat.Move(back(sequence))
		_, err := store.Append(t.Context(), n, drafts(1, "a"))
		if !errors.Is(err, store.ErrDiverged) || !errors.Is(err, store.ErrFailed) {
			t.Errorf("%s: append: %v, want ErrDiverged and ErrFailed", name, err)
		}
		if err := n.CatchUp(t.Context()); !errors.Is(err, store.ErrDiverged) {
			t.Errorf("%s: catch up: %v, want ErrDiverged", name, err)
		}
		n.expect(store.All(), store.ID{}, events)
		n.close()
	}
}
