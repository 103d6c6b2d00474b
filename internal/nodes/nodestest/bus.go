// Package nodestest is a bus in memory, for tests of what servers of one log report to each other.
package nodestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"tidings/internal/nodes"
)

// Bus is a nodes.Bus for nodes of one process. The zero Bus is ready.
type Bus struct {
	mu     sync.Mutex
	nodes  map[string]node
	hung   map[string]bool
	mute   map[string]bool
	answer func(question []byte) []byte
}

type node struct {
	told  func([]byte)
	asked func(context.Context, []byte) []byte
}

var _ nodes.Bus = (*Bus)(nil)

// Tell implements nodes.Bus.
func (b *Bus) Tell(message []byte) error {
	b.mu.Lock()
	for id, mute := range b.mute {
		if mute && bytes.Contains(message, []byte(id)) {
			b.mu.Unlock()
			return nil
		}
	}
	var all []node
	for id, n := range b.nodes {
		if !b.hung[id] {
			all = append(all, n)
		}
	}
	b.mu.Unlock()
	for _, n := range all {
		n.told(slices.Clone(message))
	}
	return nil
}

// Listen implements nodes.Bus.
func (b *Bus) Listen(id string, told func([]byte), asked func(context.Context, []byte) []byte) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nodes == nil {
		b.nodes = make(map[string]node)
	}
	b.nodes[id] = node{told, asked}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.nodes, id)
	}, nil
}

// Ask implements nodes.Bus.
func (b *Bus) Ask(ctx context.Context, id string, question []byte, room func(bytes int) bool) ([]byte, error) {
	b.mu.Lock()
	n, ok := b.nodes[id]
	hung, answer := b.hung[id], b.answer
	b.mu.Unlock()
	switch {
	case hung:
		<-ctx.Done()
		return nil, errors.New("no answer in time")
	case !ok:
		return nil, errors.New("it is gone")
	}
	if answer == nil {
		answer = func(question []byte) []byte { return n.asked(ctx, slices.Clone(question)) }
	}
	body := answer(question)
	if !room(len(body)) {
		return nil, fmt.Errorf("there is no room for its answer of %d bytes (--buffer-bytes)", len(body))
	}
	return body, nil
}

// Hang makes a node neither hear nor answer, or ends that.
func (b *Bus) Hang(id string, hangs bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hung == nil {
		b.hung = make(map[string]bool)
	}
	b.hung[id] = hangs
}

// Mute makes nobody hear a node, or ends that.
func (b *Bus) Mute(id string, mute bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mute == nil {
		b.mute = make(map[string]bool)
	}
	b.mute[id] = mute
}

// Forge makes f answer every question instead of the node asked; nil ends that.
func (b *Bus) Forge(f func(question []byte) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}
