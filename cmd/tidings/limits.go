package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// minBuffer is the minimum of --buffer-bytes: two of the largest batches fit, with what is built from them.
const minBuffer byteSize = 64 << 20

// limitFlags bound what publishers send, and how often clients may call the server.
type limitFlags struct {
	MaxEventBytes  byteSize      `default:"1MiB" help:"Maximum size of an event's data."`
	MaxTopics      int           `default:"1000000" help:"Maximum number of topics with events, and of topics without. No subject may create more than remain for everyone else."`
	BufferBytes    byteSize      `default:"64MiB" help:"Memory for request bodies in flight, and the same again for responses in flight."`
	QueueTimeout   time.Duration `default:"5s" help:"How long a publish may wait to enter a commit."`
	RatePublish    perSecond     `help:"Limit publish requests per subject, e.g. 100/s; without a key, for all clients together." placeholder:"N/s"`
	RateRead       perSecond     `help:"Limit all other requests likewise; opening a stream counts as one." placeholder:"N/s"`
	RatePerAddress bool          `help:"Apply these rates to each client address, too: each IPv4 address, IPv6 /64, and at 16 times the rate each IPv6 /48."`
}

func (l *limitFlags) validate() error {
	if l.MaxEventBytes < 1 || l.MaxEventBytes > 64<<20 {
		return fmt.Errorf("--max-event-bytes: expected 1 to 64MiB, got %d", l.MaxEventBytes)
	}
	if least := max(minBuffer, 4*l.MaxEventBytes); l.BufferBytes < least {
		return fmt.Errorf("--buffer-bytes: expected at least %d, got %d", least, l.BufferBytes)
	}
	if l.MaxTopics < 1 {
		return fmt.Errorf("--max-topics: expected 1 or more, got %d", l.MaxTopics)
	}
	if l.RatePerAddress && l.RatePublish == 0 && l.RateRead == 0 {
		return errors.New("--rate-per-address needs --rate-publish or --rate-read")
	}
	return positive("queue-timeout", l.QueueTimeout)
}

// perSecond is a rate, such as 100/s or 0.5/s; 0 is no limit.
type perSecond float64

// UnmarshalText is called by kong.
func (p *perSecond) UnmarshalText(text []byte) error {
	number, unit := strings.CutSuffix(string(text), "/s")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !unit || n <= 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return fmt.Errorf("expected a rate above 0, such as 100/s, got %q", text)
	}
	*p = perSecond(n)
	return nil
}
