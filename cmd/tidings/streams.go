package main

import (
	"cmp"
	"fmt"
	"time"

	"tidings/api"
)

// streamFlags define how a stream is kept alive and when it ends, how many there may be, and what memory they
// share.
type streamFlags struct {
	Heartbeat             time.Duration `default:"15s" help:"Send a heartbeat after this much silence on a stream."`
	StallTimeout          time.Duration `default:"60s" help:"Disconnect a client that accepts less than 64 KiB of a response in this time."`
	MaxLifetime           time.Duration `help:"Close streams after this time so that clients reconnect; 0 for never." default:"0s"`
	MaxStreams            int           `default:"50000" help:"Maximum number of open streams."`
	MaxStreamsPerToken    int           `default:"1000" help:"Maximum number of open streams per subject."`
	MaxSubscriptionTopics int           `default:"64" help:"Maximum number of topics and patterns per stream."`
	TailBytes             byteSize      `default:"64MiB" help:"Memory for recent events, shared by all subscribers; 0 disables."`
	StreamWriter          string        `default:"auto" enum:"auto,ordinary,held" help:"How streams are written: held (no goroutine per stream; plain HTTP/1.1 only), ordinary (one goroutine each), or auto (held where the platform supports it)."`
	StuckBytes            byteSize      `default:"64MiB" help:"Memory for partly written frames of held streams whose clients are not reading. Beyond it, the longest-stuck clients are disconnected."`
}

func (s *streamFlags) validate() error {
	for _, f := range []struct {
		flag  string
		value int
	}{{"max-streams", s.MaxStreams}, {"max-streams-per-token", s.MaxStreamsPerToken},
		{"max-subscription-topics", s.MaxSubscriptionTopics}} {
		if f.value < 1 {
			return fmt.Errorf("--%s: expected 1 or more, got %d", f.flag, f.value)
		}
	}
	if s.MaxLifetime < 0 {
		return fmt.Errorf("--max-lifetime: expected a duration, or 0s for none, got %v",
			s.MaxLifetime)
	}
	if s.StreamWriter == api.WriterHeld && !api.CanHold {
		return fmt.Errorf("--stream-writer: held is only for Linux, got %q", s.StreamWriter)
	}
	return cmp.Or(positive("heartbeat", s.Heartbeat), positive("stall-timeout", s.StallTimeout))
}

// tailLimit translates --tail-bytes for TailOptions, where 0 means the default and -1 none.
func (s *streamFlags) tailLimit() int64 {
	if s.TailBytes == 0 {
		return -1
	}
	return int64(s.TailBytes)
}
