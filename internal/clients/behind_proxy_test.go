package clients_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/sse"
	"tidings/store"
)

// behind is a server behind a proxy, and a client that reaches it only through the proxy.
type behind struct {
	*server
	proxy  *runningProxy
	client *http.Client
}

// behindEach runs a test with each proxy and each version of HTTP, all in parallel.
func behindEach(t *testing.T, readTimeout string, args []string,
	test func(t *testing.T, ctx context.Context, b behind)) {
	t.Parallel()
	for _, p := range proxies {
		for _, major := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/HTTP%d", p.name, major), func(t *testing.T) {
				t.Parallel()
				args := append([]string{"--insecure", "--trusted-proxy", "127.0.0.1",
					"--allow-host", siteName}, args...)
				b := behind{server: startServer(t, e2e.Options{Args: args})}
				b.proxy = p.start(t, proxyOptions{upstream: hostOf(t, b.URL()),
					readTimeout: readTimeout})
				t.Log(b.proxy.version)
				ctx, client := b.proxy.client(t, major)
				b.client = client
				test(t, ctx, b)
			})
		}
	}
}

// publish publishes an event through the proxy.
func (b *behind) publish(t *testing.T, ctx context.Context) store.ID {
	t.Helper()
	id, _, err := e2e.Publish(ctx, b.client, proxyURL, "orders", []byte(`{}`))
	if err != nil {
		t.Fatalf("publish through the proxy: %v", err)
	}
	return id
}

func (b *behind) subscribe(t *testing.T, ctx context.Context, lastEventID string) *e2e.Stream {
	t.Helper()
	stream, err := e2e.Subscribe(ctx, b.client, proxyURL, "topic=orders", lastEventID)
	if err != nil {
		t.Fatalf("subscribe through the proxy: %v", err)
	}
	t.Cleanup(func() { stream.Close() })
	return stream
}

// awaitEvent reads the stream up to an event of this type.
func awaitEvent(t *testing.T, stream *e2e.Stream, kind string) sse.Event {
	t.Helper()
	for {
		e, err := stream.Next()
		if err != nil {
			t.Fatalf("the stream ended before %s: %v", kind, err)
		}
		if e.Type == kind {
			return e
		}
	}
}

// TestProxyPassesEventsOn: each event arrives before anything else is written to the stream.
func TestProxyPassesEventsOn(t *testing.T) {
	behindEach(t, "", []string{"--heartbeat", "1h"},
		func(t *testing.T, ctx context.Context, b behind) {
			stream := b.subscribe(t, ctx, "")
			awaitEvent(t, stream, "tidings.live")
			for range 5 {
				want := b.publish(t, ctx).String()
				if got := awaitEvent(t, stream, "message"); got.ID != want {
					t.Fatalf("got event %s, want %s", got.ID, want)
				}
			}
		})
}

// TestIdleStreamBehindProxy: heartbeats keep a stream open for longer than the proxy's read time-out.
func TestIdleStreamBehindProxy(t *testing.T) {
	behindEach(t, "10s", []string{"--heartbeat", "1s"},
		func(t *testing.T, ctx context.Context, b behind) {
			stream := b.subscribe(t, ctx, "")
			for range 12 { // a second of silence before each
				awaitEvent(t, stream, "tidings.heartbeat")
			}
			want := b.publish(t, ctx).String()
			if got := awaitEvent(t, stream, "message"); got.ID != want {
				t.Fatalf("got event %s, want %s", got.ID, want)
			}
		})
}

// TestSilentStreamBehindProxy shows why heartbeats are needed.
func TestSilentStreamBehindProxy(t *testing.T) {
	behindEach(t, "10s", []string{"--heartbeat", "1h"},
		func(t *testing.T, ctx context.Context, b behind) {
			stream := b.subscribe(t, ctx, "")
			for {
				e, err := stream.Next()
				if ctx.Err() != nil {
					t.Fatal(
						"the proxy does not cut a stream that is silent for longer than its time-out")
				}
				if err != nil {
					return
				}
				if e.Type == "tidings.bye" {
					t.Fatal("the server ended the stream, not the proxy")
				}
			}
		})
}

// TestResumeThroughReload: nothing is lost when the proxy is reloaded, whether it ends the old streams or keeps
// them for as long as their clients do.
func TestResumeThroughReload(t *testing.T) {
	behindEach(t, "", nil, func(t *testing.T, ctx context.Context, b behind) {
		publisher := &e2e.Publisher{Topic: "orders"}
		_, direct := newClient(t) // the reload may cut a publish short, and this is about streams
		publish := func(n int) {
			for range n {
				if err := publisher.Publish(ctx, direct, b.URL()); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		}
		consumer := &e2e.Consumer{Filter: store.All(), Start: "since=earliest"}
		live, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			seen := 0
			ended <- consumer.Read(ctx, b.client, proxyURL, func(e sse.Event) bool {
				switch e.Type {
				case "tidings.live":
					close(live)
				case "message":
					seen++
				}
				return seen == 6 && !b.proxy.endsStreams
			})
		}()
		<-live
		publish(3)
		b.proxy.reload(t)
		publish(3)
		if err := <-ended; ctx.Err() != nil {
			t.Fatal("the stream does not bring what was published, or does not end")
		} else if err != nil {
			t.Logf("after the reload the stream ended: %v", err)
		}
		publish(3)
		if err := consumer.Read(ctx, b.client, proxyURL, e2e.UntilLive); err != nil {
			t.Fatal(err)
		}
		log, err := e2e.ReadLog(ctx, b.client, proxyURL)
		if err != nil {
			t.Fatal(err)
		}
		h := &e2e.History{Attempts: publisher.Attempts, Log: log,
			Consumers: []*e2e.Consumer{consumer}}
		if err := e2e.Validate(h); err != nil {
			t.Error(err)
		}
	})
}

// TestServerAwayBehindProxy: while the server is down, the proxy answers for it, so that a browser reconnects.
// Anything but 200 would end its stream permanently.
func TestServerAwayBehindProxy(t *testing.T) {
	behindEach(t, "", nil, func(t *testing.T, ctx context.Context, b behind) {
		first := b.publish(t, ctx).String()
		b.Kill()
		away := b.subscribe(t, ctx, first)
		if bye := awaitEvent(t, away, "tidings.bye"); string(bye.Data) != `{"reason":"shutdown"}` {
			t.Errorf("the proxy says bye with %s", bye.Data)
		}
		if id := away.LastEventID(); id != "" {
			t.Errorf("the proxy moves the client's cursor to %s", id)
		}
		b.restart(t)
		second := b.publish(t, ctx).String()
		if got := awaitEvent(t, b.subscribe(t, ctx, first), "message"); got.ID != second {
			t.Errorf("after the restart the client is given %s, want %s", got.ID, second)
		}
	})
}
