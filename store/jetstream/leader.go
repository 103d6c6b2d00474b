package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tidings/store"
)

// contactTime is how recently a majority of the stream's servers must have answered its leader for the leader to be
// believed. Servers without one wait at least 4 s before they elect another; the old one takes 10 to 20 s to notice
// that it is cut off, and until then answers with what it has.
const contactTime = 3 * time.Second

// report asks the leader about the stream. A leader that may have been replaced is ErrUnavailable, and is left.
// ErrDiverged: the stream is of another log.
func (s *Sequencer) report(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*answerTime)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.fault.Load() == nil {
		s.checkSoon()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the extent of the stream: %w", store.ErrUnavailable, err)
	}
	switch c := info.Cluster; {
	case c != nil && c.Leader == "": // one of the others answers, with what it has
		return nil, fmt.Errorf("%w: the stream has no leader", store.ErrUnavailable)
	case !leads(c):
		s.leaveLeader()
		return nil, fmt.Errorf("%w: the stream's leader is cut off from the other servers", store.ErrUnavailable)
	}
	if log, err := logOf(&info.Config); err == nil && log != s.logID {
		return nil, s.replacedBy(log)
	}
	return info, nil
}

// leads reports whether a majority of the servers that keep the stream has answered its leader within contactTime.
func leads(c *jetstream.ClusterInfo) bool {
	if c == nil { // a single server
		return true
	}
	answered := 1
	for _, peer := range c.Replicas {
		if peer.Active > 0 && peer.Active < contactTime { // 0: never
			answered++
		}
	}
	return 2*answered > 1+len(c.Replicas)
}

// leaveLeader connects to another server, at most once per leaveAfter: this one, or the one that it reaches, leads the
// stream and is cut off from the others.
func (s *Sequencer) leaveLeader() {
	left, now := s.left.Load(), time.Now()
	if now.Sub(time.Unix(0, left)) >= leaveAfter && s.left.CompareAndSwap(left, now.UnixNano()) {
		s.mute.Store(0) // the next one has as long to answer
		s.o.Logger.Warn("the stream's leader is cut off from the other servers, trying another server", "server",
			s.nc.ConnectedServerName())
		_ = s.nc.ForceReconnect() // fails while it is connecting
	}
}
