package jetstream_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/storetest"
)

// TestTwoLeaders: a publish reaches the stream's new leader and one that does not know yet that it was replaced, which
// refuses it first. It is stored once, where its publisher is told.
func TestTwoLeaders(t *testing.T) {
	for name, last := range map[string]int{"ahead": 1 << 20, "behind": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.Start(t, 1)
			log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
			js := operator(t, c)
			old, err := js.Conn().Subscribe(streamOn(t, js).Config.Subjects[0], func(m *nats.Msg) {
				_ = m.Respond(fmt.Appendf(nil, // the stream answers, too
					`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: %d"}}`, last))
			})
			if err == nil {
				err = js.Conn().Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			var want []store.ID
			for range 30 {
				want = append(want, publish(t, log, 1, 10))
			}
			if err := old.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
			page, err := log.NewReader(store.All(), store.ID{}).Next(100)
			if err != nil {
				t.Fatal(err)
			}
			var got []store.ID
			for _, e := range page.Events {
				got = append(got, e.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d publishes are %d events", len(want), len(got))
			}
			late := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
			storetest.Agree(t, log, late)
			for _, n := range []*node{log, late} {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
