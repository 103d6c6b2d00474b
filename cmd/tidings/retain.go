package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"tidings/internal/clock"
	"tidings/internal/duration"
	"tidings/internal/retention"
	"tidings/store"
)

// retainFlags set the limits of retention.
type retainFlags struct {
	RetainAge    []maxAge    `help:"Delete events older than this, e.g. 30d. PATTERN=30d applies to matching topics. Repeatable." placeholder:"[PATTERN=]AGE"`
	RetainEvents []maxEvents `help:"Keep at most N events in the log. PATTERN=N applies per matching topic. Repeatable." placeholder:"[PATTERN=]N"`
	RetainBytes  []maxBytes  `help:"Keep at most this much, e.g. 10GiB, deleting the oldest events first. PATTERN=SIZE applies per matching topic. Repeatable." placeholder:"[PATTERN=]SIZE"`

	TrimHold     time.Duration `default:"24h" help:"After the clock jumps forward, wait this long without another jump before deleting by age; also applies at start. trust-clock ends the wait."`
	TrimInterval time.Duration `default:"10s" help:"How often retention runs; at least 1s if a limit has a pattern."`
}

func (r *retainFlags) validate() error {
	if err := cmp.Or(positive("trim-interval", r.TrimInterval),
		positive("trim-hold", r.TrimHold)); err != nil {
		return err
	}
	p := r.policy()
	for _, f := range []struct {
		flag   string
		policy retention.Policy
	}{
		{"retain-age", retention.Policy{Age: p.Age}}, {"retain-events",
			retention.Policy{Events: p.Events}}, {"retain-bytes", retention.Policy{Bytes: p.Bytes}},
	} {
		if err := f.policy.Validate(); err != nil {
			return fmt.Errorf("--%s: %w", f.flag, err)
		}
	}
	return nil
}

func (r *retainFlags) policy() (p retention.Policy) {
	for _, l := range r.RetainAge {
		p.Age = append(p.Age, retention.Limit[time.Duration](l))
	}
	for _, l := range r.RetainEvents {
		p.Events = append(p.Events, retention.Limit[uint64](l))
	}
	for _, l := range r.RetainBytes {
		p.Bytes = append(p.Bytes, retention.Limit[uint64](l))
	}
	return p
}

// outlook returns how long the log keeps which events; nil means that it keeps everything.
func (r *retainFlags) outlook(log store.Log) (*retention.Outlook, error) {
	if p := r.policy(); !p.IsZero() {
		return retention.NewOutlook(log, p)
	}
	return nil, nil
}

// startTrimming starts trimming the log, except for what is needed, and returns a function that stops it. Without a
// limit it does nothing. Call it before the first publish.
func (r *retainFlags) startTrimming(ctx context.Context, log store.Log, needed retention.Needed, c *clock.Clock,
	logger *slog.Logger) (stop func(), err error) {
	p := r.policy()
	if p.IsZero() {
		return func() {}, nil
	}
	trimmer, err := retention.New(log, p)
	if err != nil {
		return nil, err
	}
	trimmer.Keep(needed)
	if err := trimmer.Judge(c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		trimmer.Run(ctx, r.TrimInterval, c, logger)
	}()
	return func() {
		cancel()
		<-ended
	}, nil
}

type (
	maxAge    retention.Limit[time.Duration]
	maxEvents retention.Limit[uint64]
	maxBytes  retention.Limit[uint64]
)

// UnmarshalText is called by kong.
func (m *maxAge) UnmarshalText(text []byte) (err error) {
	var value string
	m.Pattern, value = cutPattern(text)
	if m.Max, err = duration.Parse(value); err != nil || m.Max <= 0 {
		return fmt.Errorf("expected an age above 0, such as 30d or orders.>=12h, got %q", text)
	}
	return nil
}

// UnmarshalText is called by kong.
func (m *maxEvents) UnmarshalText(text []byte) (err error) {
	var value string
	m.Pattern, value = cutPattern(text)
	if m.Max, err = strconv.ParseUint(value, 10, 63); err != nil || m.Max == 0 {
		return fmt.Errorf(
			"expected a number of events above 0, such as 1000000 or orders.>=1000, got %q", text)
	}
	return nil
}

// UnmarshalText is called by kong.
func (m *maxBytes) UnmarshalText(text []byte) (err error) {
	var value string
	m.Pattern, value = cutPattern(text)
	if m.Max, err = humanize.ParseBytes(value); err != nil || m.Max == 0 || m.Max > math.MaxInt64 {
		return fmt.Errorf("expected bytes above 0, such as 10GiB or orders.>=64MiB, got %q", text)
	}
	return nil
}

// cutPattern splits PATTERN= off a limit. "=30d" stays as it is, and is refused: a lost pattern must not turn the
// limit into one of the whole log.
func cutPattern(text []byte) (pattern, value string) {
	pattern, value, ok := strings.Cut(string(text), "=")
	if !ok || pattern == "" {
		return "", string(text)
	}
	return pattern, value
}
