package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/jetstream"
)

// askWithin asks a node that has so long.
func askWithin(t *testing.T, s *jetstream.Sequencer, node string, question []byte, d time.Duration) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return s.Ask(ctx, node, question)
}

// TestAsk: nodes tell and ask each other over a real server, answers come whole however long they are, and nothing
// of that is in the stream.
func TestAsk(t *testing.T) {
	c := natstest.Start(t, 1)
	a, b := connect(t, c, "LOG", 1), connect(t, c, "LOG", 1)
	other := connect(t, c, "OTHER", 1)
	defer a.Close()
	defer b.Close()
	defer other.Close()
	told := make(chan string, 10)
	long := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16+5)
	stop, err := b.Listen("bb", func(m []byte) { told <- string(m) }, func(ctx context.Context, q []byte) []byte {
		switch string(q) {
		case "long":
			return long
		case "hang":
			<-ctx.Done() // as long as who asks waits
			told <- "nobody waits"
		}
		return q
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Listen("bb", func([]byte) { t.Error("told to another log") },
		func(context.Context, []byte) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "node that answers", func() bool { // the server has its subscription
		answer, err := askWithin(t, a, "bb", []byte("short"), e2e.Patience)
		return err == nil && string(answer) == "short"
	})
	if answer, err := askWithin(t, a, "bb", []byte("long"), e2e.Patience); err != nil || !bytes.Equal(answer, long) {
		t.Errorf("%d bytes, %v, want %d", len(answer), err, len(long))
	}
	if answer, err := askWithin(t, a, "bb", nil, e2e.Patience); err != nil || len(answer) != 0 {
		t.Errorf("an empty answer: %q, %v", answer, err)
	}
	if err := a.Tell([]byte("here")); err != nil || <-told != "here" {
		t.Errorf("tell: %v", err)
	}
	refused := func(what string, err error, want string) {
		t.Helper()
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	_, err = askWithin(t, a, "bb", []byte("hang"), 200*time.Millisecond)
	refused("one that hangs", err, "in time")
	if got := <-told; got != "nobody waits" {
		t.Errorf("told %q", got)
	}
	_, err = askWithin(t, a, "cc", []byte("short"), e2e.Patience)
	refused("one that is not there", err, "not there")
	_, err = askWithin(t, a, "bb", make([]byte, 1<<20), e2e.Patience)
	refused("a question that is too long", err, "1048576 bytes")
	stop()
	e2e.Eventually(t, "node that has stopped", func() bool {
		_, err := askWithin(t, a, "bb", []byte("short"), time.Second) // the server may not know yet
		return err != nil && strings.Contains(err.Error(), "not there")
	})
	if end, err := a.End(t.Context(), 0); err != nil || end != (store.Place{}) {
		t.Errorf("the stream ends at %+v, %v, want nothing in it", end, err)
	}
}
