package jetstream_test

import (
	"testing"

	"tidings/internal/natstest"
	"tidings/store/storetest"
)

// TestSize: a node knows the size of the stream, and its limit, from what it asks anyway: at its start, after a
// reconnect, and every ten seconds. Looking at it asks nobody.
func TestSize(t *testing.T) {
	c := natstest.Start(t, 1)
	early := connect(t, c, "LOG", 1)
	defer early.Close()
	if size, limit := early.Size(); size != 0 || limit != 0 {
		t.Errorf("a new stream: %d bytes of %d, want 0 and no limit", size, limit)
	}
	js := operator(t, c)
	stream, err := js.Stream(t.Context(), "LOG")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = 64 << 20
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	log := open(t, t.TempDir(), storetest.Options{}, connect(t, c, "LOG", 1))
	publish(t, log, 1, 100)
	late := connect(t, c, "LOG", 1)
	defer late.Close()
	size, limit := late.Size()
	extent, err := late.Extent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if size != extent.Bytes || limit != 64<<20 || size < 100 {
		t.Errorf("%d bytes of %d, want %d of %d", size, limit, extent.Bytes, 64<<20)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	c.Kill(0)
	c.Run(0)
	c.Eventually("LOG", "node that knows the size after a reconnect", func() bool {
		size, limit := early.Size()
		return size == extent.Bytes && limit == 64<<20
	})

	before := varz(t, c).Messages
	for range 10_000 {
		early.Size()
	}
	if n := varz(t, c).Messages - before; n > 100 { // the nodes read its clock, too
		t.Errorf("10,000 looks sent %d messages to NATS", n)
	}
}
