//go:build bench

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sending "tidings/deliver"
	"tidings/internal/e2e"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/internal/webpush/pushtest"
	"tidings/store"
	"tidings/store/bolt"
)

// TestRatioPushes measures in turns what one event that a hundred thousand browsers want, each of a subject of its own
// with a read mark, costs a publisher, compared with a server without any, beside processes that burn as much. It
// reports how long a start takes with them, and how many pushes are sent a second. TIDINGS_DEVICES sets another number.
func TestRatioPushes(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("TIDINGS_DEVICES"))
	if err != nil {
		n = 100_000
	}
	receiver, url := startReceiver(t)
	with := newDesk(t)
	with.options.Args = append(with.options.Args, "--push-contact", "mailto:ops@example.com", "--push-to",
		"127.0.0.1/32")
	began := time.Now()
	newDesk(t).start(t).Stop()
	alone := time.Since(began)
	registerMany(t, with.options.DataDir, url, n)
	began = time.Now()
	server := with.start(t)
	t.Logf("a start takes %v, without devices %v", time.Since(began), alone)
	// The target is 1.1; docs/BENCHMARKS.md has the figure.
	besideIdle(t, with, server, receiver, 4, func() {
		if _, _, err := e2e.Publish(with.ctx, with.client, server.URL(), "all", missedData()); err != nil {
			t.Fatal(err)
		}
	})
	sent := sumOf(with, server.URL(), `tidings_pushes_total{outcome="sent"}`)
	t.Logf("%d devices; %.0f pushes a second", n, sent/crowdTime.Seconds())
	if sent == 0 {
		t.Error("nothing was pushed")
	}
}

// registerMany puts devices into a log that no server has open, with the secrets key beside it.
func registerMany(t *testing.T, dir, url string, n int) {
	t.Helper()
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	devices, err := sending.NewDevices(log, sending.PushOptions{Contact: "mailto:ops@example.com",
		Key: seal.NewFile(filepath.Join(dir, "secrets.key")), Guard: outbound.New(outbound.Options{HTTP: true,
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})})
	if err != nil {
		t.Fatal(err)
	}
	topics, err := store.NewFilter("all")
	if err != nil {
		t.Fatal(err)
	}
	b := pushtest.NewBrowser()
	register := func(i int) error {
		owner := fmt.Sprintf("user-%06d@example.com", i)
		endpoint := fmt.Sprintf("%s/send/%06d:%s", url, i, strings.Repeat("x", 140))
		_, _, err := devices.Register(context.Background(), sending.Registration{Owner: owner,
			Endpoint: endpoint, P256dh: b.P256dh(), Auth: b.Auth(), Topics: topics,
			Page: "https://shop.example.com/orders", Mark: "inbox"})
		if err == nil {
			_, err = log.SetMark(context.Background(), owner, "inbox", store.Mark{Topics: topics})
		}
		return err
	}
	var all sync.WaitGroup
	failed := make([]error, 256)
	for from := range failed {
		all.Go(func() {
			for i := from; i < n && failed[from] == nil; i += len(failed) {
				failed[from] = register(i)
			}
		})
	}
	all.Wait()
	devices.Close()
	if err := errors.Join(append(failed, log.Close())...); err != nil {
		t.Fatal(err)
	}
}
