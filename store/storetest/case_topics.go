package storetest

import (
	"errors"
	"slices"
	"testing"

	"tidings/store"
)

func topicsCases() []Case {
	return []Case{
		{"topics/those that match", topicsFilter},
		{"topics/may be left early and written to inside", topicsYield},
		{"topics/bytes shrink as events go", topicsBytes},
		{"info/of an empty log", infoEmpty},
		{"info/identity survives a reopen", infoIdentity},
		{"failed/not while all is well", failedNot},
	}
}

func topicsFilter(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	all := []string{"orders", "orders.eu", "orders.us", "tickets", "tickets.eu.open"}
	f.append(drafts(25, all...)...)
	f.trim(filter(t, "orders.us", "tickets"), store.MaxID, 10) // empty topics stay known
	for range 2 {
		for _, patterns := range [][]string{{">"}, {"orders"}, {"orders.*"}, {"*", "*.eu"},
			{"orders.>", "orders.eu"}, {"nothing"}, {}} {
			flt := filter(t, patterns...)
			var got, want []string
			for info := range f.Topics(flt) {
				got = append(got, info.Topic)
			}
			for _, topic := range all {
				if flt.Match(topic) {
					want = append(want, topic)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("topics of %q: %q, want %q", flt, got, want)
			}
		}
		f.reopen()
	}
}

// topicsYield: a caller may take its time over the topics and use the log meanwhile.
func topicsYield(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(10, "a", "b", "c", "d")...)
	for range f.Topics(store.All()) {
		break
	}
	within(t, "using the log while ranging over its topics", func() {
		for info := range f.Topics(store.All()) {
			if _, err := f.Get(info.First); err != nil {
				t.Errorf("get inside topics: %v", err)
			}
			if _, err := store.Append(t.Context(), f, drafts(1, "a")); err != nil {
				t.Errorf("append inside topics: %v", err)
			}
		}
	})
}

func topicsBytes(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	events := f.append(drafts(10, "orders")...)
	last := f.topic("orders").Bytes
	for i := 1; i <= len(events); i++ {
		next, _ := events[i-1].ID.Next()
		f.trim(store.All(), next, 1)
		now := f.topic("orders").Bytes
		if now >= last || (now == 0) != (i == len(events)) {
			t.Fatalf("topic has %d bytes after %d of %d events were trimmed, %d before that",
				now, i, len(events), last)
		}
		last = now
	}
}

func infoEmpty(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	info, err := f.Info()
	if err != nil {
		t.Fatal(err)
	}
	want := store.Info{LogID: info.LogID, Engine: info.Engine, DiskBytes: info.DiskBytes}
	if info != want {
		t.Fatalf("info of an empty log: %+v", info)
	}
}

func infoIdentity(t testing.TB, open Factory) {
	f, other := start(t, open, Options{}), start(t, open, Options{})
	identity := func(f *fixture) store.ID {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		return info.LogID
	}
	id, secret := identity(f), f.Secret()
	if id == identity(other) || secret == other.Secret() || secret == [32]byte{} {
		t.Fatalf("two logs have the same log id %s, or secret, or none", id)
	}
	f.append(drafts(3, "orders")...)
	f.reopen()
	if got := identity(f); got != id || f.Secret() != secret {
		t.Fatalf("log id or secret changed over a reopen; ids %s and %s", id, got)
	}
}

func failedNot(t testing.TB, open Factory) {
	f := start(t, open, Options{})
	f.append(drafts(1, "orders")...)
	if _, err := store.Append(t.Context(), f, nil); !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("append of no drafts: %v", err)
	}
	if err := f.Ready(); err != nil {
		t.Fatalf("a refused append made the log unready: %v", err)
	}
	f.close()
	select {
	case <-f.Failed():
		t.Fatal("a refused append or a close made the log fail")
	default:
	}
	if err := f.Ready(); !errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrFailed) {
		t.Fatalf("a closed log is ready, or has failed: %v, want %v", err, store.ErrClosed)
	}
}
