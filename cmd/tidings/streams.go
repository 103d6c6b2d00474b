package main

import (
	"cmp"
	"fmt"
	"time"

	"tidings/api"
)

// streamFlags say how a stream is kept alive and when it ends, how many there may be, and what
// memory they share.
type streamFlags struct {
	Heartbeat             time.Duration `default:"15s" help:"Silence on a stream before a heartbeat."`
	StallTimeout          time.Duration `default:"60s" help:"Time for a client to take 64 KiB of a stream or of any other answer; then it is cut off."`
	MaxLifetime           time.Duration `help:"Time after which a stream is ended, for its client to come again; 0 for never." default:"0s"`
	MaxStreams            int           `default:"50000" help:"Streams at a time."`
	MaxStreamsPerToken    int           `default:"1000" help:"Streams at a time of the same subject."`
	MaxSubscriptionTopics int           `default:"64" help:"Topics and patterns that one stream may name."`
	TailBytes             byteSize      `default:"64MiB" help:"Recent events kept in memory over all subscribers; 0 for none."`
	StreamWriter          string        `default:"auto" enum:"auto,ordinary,held" help:"Who writes streams: held is without a goroutine for each, and only over HTTP/1.1 without TLS; ordinary is a goroutine for each; auto is held where the platform has it."`
	StuckBytes            byteSize      `default:"64MiB" help:"Memory for what held streams have begun to write and their clients do not take; beyond it those are cut off that have been stuck for longest."`
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

// tailLimit is --tail-bytes in TailOptions' terms, where 0 means the default and -1 none.
func (s *streamFlags) tailLimit() int64 {
	if s.TailBytes == 0 {
		return -1
	}
	return int64(s.TailBytes)
}
