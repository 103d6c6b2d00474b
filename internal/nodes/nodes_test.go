package nodes_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/nodes"
	"tidings/internal/nodes/nodestest"
)

func join(t *testing.T, bus nodes.Bus, name string, state nodes.State) *nodes.Cluster {
	t.Helper()
	return joinAs(t, bus, name, nil, func() nodes.State { return state })
}

func joinAs(t *testing.T, bus nodes.Bus, name string, logger *slog.Logger, state func() nodes.State) *nodes.Cluster {
	t.Helper()
	c, err := nodes.New(bus, nodes.Options{Name: name, Version: "1", State: state, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Answer(func(_ context.Context, question []byte) []byte { return []byte(name + " " + string(question)) })
	return c
}

// names returns the names that a node knows, with a question mark after lost ones.
func names(c *nodes.Cluster) string {
	var all []string
	for _, n := range c.List() {
		if n.Lost() {
			n.Name += "?"
		}
		all = append(all, n.Name)
	}
	return strings.Join(all, " ")
}

func want(t *testing.T, c *nodes.Cluster, list string) {
	t.Helper()
	if got := names(c); got != list {
		t.Errorf("%s knows %q, want %q", c.Name(), got, list)
	}
}

// TestKnown: nodes know each other within two seconds, each as it reports itself. One that ends is forgotten at once,
// one that falls silent is lost after ten seconds and forgotten after an hour, or when it comes back.
func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		state := nodes.State{Lag: 3, Behind: 4 * time.Second, Silence: time.Second, Clock: -time.Hour, Sends: true}
		a, b := join(t, &bus, "a", nodes.State{}), join(t, &bus, "b", state)
		time.Sleep(nodes.HelloEvery)
		synctest.Wait()
		want(t, a, "a b")
		want(t, b, "a b")
		if got := a.List()[1]; got.State != state || got.Version != "1" || got.Self || got.ID != b.Self() {
			t.Errorf("a knows %+v of b", got)
		}
		gone := join(t, &bus, "c", nodes.State{})
		synctest.Wait()
		want(t, a, "a b c")
		gone.Close()
		want(t, a, "a b")

		bus.Hang(a.Self(), true) // so a hears nothing from b
		time.Sleep(nodes.LostAfter + nodes.HelloEvery)
		want(t, a, "a b?")
		want(t, b, "a b")
		time.Sleep(nodes.ForgetAfter)
		want(t, a, "a")
		bus.Hang(a.Self(), false)
		time.Sleep(nodes.HelloEvery)
		synctest.Wait()
		want(t, a, "a b")
	})
}

// TestReplaced: a node that was killed and comes back under its name is not listed twice.
func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		a, b := join(t, &bus, "a", nodes.State{}), join(t, &bus, "b", nodes.State{})
		time.Sleep(nodes.HelloEvery)
		synctest.Wait()
		want(t, a, "a b")
		bus.Mute(b.Self(), true)
		time.Sleep(nodes.LostAfter)
		want(t, a, "a b?")
		join(t, &bus, "b", nodes.State{})
		synctest.Wait()
		want(t, a, "a b")
	})
}

// TestAskAll: all are asked at once; a node that does not answer within two seconds is named.
func TestAskAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		a, b := join(t, &bus, "a", nodes.State{}), join(t, &bus, "b", nodes.State{})
		c := join(t, &bus, "c", nodes.State{})
		time.Sleep(nodes.HelloEvery)
		synctest.Wait()
		bus.Hang(b.Self(), true)
		began := time.Now()
		answers := a.AskAll(t.Context(), []byte("who?"), func(int) bool { return true })
		if took := time.Since(began); took != nodes.AskWithin {
			t.Errorf("took %v, want %v", took, nodes.AskWithin)
		}
		if len(answers) != 2 || answers[0].Node.Name != "b" || answers[0].Err == nil ||
			answers[1].Node.ID != c.Self() || string(answers[1].Body) != "c who?" || answers[1].Err != nil {
			t.Errorf("answers %+v", answers)
		}
	})
}

// TestIgnoredWords: a node of which every message breaks a rule is not known, and the others log once what is wrong.
func TestIgnoredWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		var wrote lines
		logger := slog.New(slog.NewTextHandler(&wrote, nil))
		a := joinAs(t, &bus, "a", logger, func() nodes.State { return nodes.State{} })
		for _, of := range [][3]string{
			{"0123456789abcdef0123", "b", `"hears":["a..b"]`},
			{"0123456789abcdef0124", "c", `"lag_seconds":"1"`},
			{"", "d", `"lag_seconds":1`},
		} {
			for range 3 {
				_ = bus.Tell(fmt.Appendf(nil, `{"id":%q,"name":%q,%s}`, of[0], of[1], of[2]))
			}
		}
		want(t, a, "a")
		text := wrote.String()
		for _, part := range []string{"name=b", "a..b", "id=0123456789abcdef0123", "name=c", "lag_seconds", "name=d"} {
			if !strings.Contains(text, part) {
				t.Errorf("nothing logged of %s", part)
			}
		}
		if n := strings.Count(text, "level=WARN"); n != 3 {
			t.Errorf("%d warnings about three nodes:\n%s", n, text)
		}
	})
}

// TestForeignWords: a message that is not a hello, or breaks a rule, adds no node.
func TestForeignWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus nodestest.Bus
		a := join(t, &bus, "a", nodes.State{})
		const id = "0123456789abcdef0123"
		good := func(id string) string { return fmt.Sprintf(`{"id":%q,"name":"x","lag_seconds":1}`, id) }
		for _, text := range []string{"", "x", "[]", `{"id":"` + id + `"`, good("all"), good(strings.ToUpper(id)),
			good(id + "0"), `{"id":"` + id + `","hears":["a..b"]}`, `{"id":"` + id + `","hears":[""]}`,
			`{"id":"` + id + `","lag_seconds":-1}`, `{"id":"` + id + `","clock_seconds":1e300}`,
			`{"id":"` + id + `","name":"` + strings.Repeat("n", 256) + `"}`} {
			_ = bus.Tell([]byte(text))
			want(t, a, "a")
		}
		_ = bus.Tell([]byte(good(id)))
		want(t, a, "a x")
		for i := range 2000 {
			_ = bus.Tell([]byte(good(fmt.Sprintf("%020x", i))))
		}
		if n := len(a.List()); n != 1001 {
			t.Errorf("knows %d nodes, want a bound of 1,001", n)
		}
		if !slices.ContainsFunc(a.List(), func(n nodes.Node) bool { return n.Self }) {
			t.Error("it does not know itself any more")
		}
	})
}
