package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tidings/store"
)

// subjectOf is the prefix of the log's subjects. It contains the ID, so that a node of another log, or of an
// earlier one in a stream of the same name, can write nothing.
func subjectOf(stream string, log store.ID) string {
	return "tidings." + strings.ToLower(stream) + "." + strings.ToLower(log.String())
}

// wanted is the configuration of a stream that is created here.
func (s *Sequencer) wanted(log store.ID) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: s.o.Stream, Description: "a Tidings log; its nodes refuse it when its settings are changed",
		Subjects: []string{subjectOf(s.o.Stream, log) + ".>"}, Storage: jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Replicas: s.o.Replicas,
		DenyDelete: true, AllowAtomicPublish: true, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1,
		Duplicates: time.Second, // the window for message IDs, which are not used
	}
}

// establish creates the stream if there is none, and refuses one that would break the guarantees.
func (s *Sequencer) establish(ctx context.Context) error {
	log, err := store.NewID(time.Now())
	if err != nil {
		return err
	}
	stream, err := s.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = s.js.CreateStream(ctx, s.wanted(log))
		if err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was first
			stream, err = s.info(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: stream %s: %w", store.ErrUnavailable, s.o.Stream, err)
	}
	s.stream = stream
	info := stream.CachedInfo()
	if s.logID, err = logOf(&info.Config); err != nil {
		return err
	}
	return s.judge(ctx, info)
}

// logOf returns the identity of the log that a stream keeps.
func logOf(c *jetstream.StreamConfig) (store.ID, error) {
	prefix := subjectOf(c.Name, store.ID{})
	prefix = prefix[:strings.LastIndexByte(prefix, '.')+1]
	if len(c.Subjects) == 1 {
		text, ok := strings.CutPrefix(c.Subjects[0], prefix)
		if id, err := store.ParseID(strings.TrimSuffix(text, ".>")); ok && err == nil {
			return id, nil
		}
	}
	return store.ID{}, fmt.Errorf("%w: stream %s has the subjects %q, so it is not a log of this program",
		store.ErrDiverged, c.Name, c.Subjects)
}

// errReplaced: the stream that the log has followed is gone.
var errReplaced = fmt.Errorf("%w: its stream is gone", store.ErrDiverged)

func (s *Sequencer) replacedBy(log store.ID) error {
	return fmt.Errorf("%w: stream %s is of log %s now, it was of %s", errReplaced, s.o.Stream, log, s.logID)
}

// judge returns what is wrong with the stream, nil if nothing.
func (s *Sequencer) judge(ctx context.Context, info *jetstream.StreamInfo) error {
	c := &info.Config
	log, err := logOf(c)
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("stream %s "+format, append([]any{c.Name}, args...)...)
	}
	switch {
	case err != nil:
		return err
	case log != s.logID:
		return s.replacedBy(log)
	case c.Retention != jetstream.LimitsPolicy || c.Discard != jetstream.DiscardNew || c.MaxAge != 0 ||
		c.MaxMsgsPerSubject > 0:
		return wrong("deletes messages by itself: it must have limits retention, discard new, no max_age and no " +
			"max_msgs_per_subject")
	case c.Sealed || c.Mirror != nil || len(c.Sources) > 0 || c.NoAck:
		return wrong("cannot be written to: it is sealed, a mirror, has sources, or does not acknowledge")
	case !c.DenyDelete || !c.AllowAtomicPublish:
		return wrong("must have deny_delete and allow_atomic")
	case s.o.Lossy:
		return nil
	case c.Storage != jetstream.FileStorage || c.Replicas < 3:
		return wrong("has %d replicas, in %v; three on disk survive the loss of one server. --nats-allow-lossy "+
			"accepts it",
			c.Replicas, c.Storage)
	case c.PersistMode == jetstream.AsyncPersistMode:
		return wrong("has persist_mode async, which overrides sync_interval. --nats-allow-lossy accepts it")
	case s.o.Synced == nil && s.o.SystemCreds == "":
		return wrong("is on servers not known to sync before they acknowledge: give their monitor addresses " +
			"(--nats-monitor), or credentials of the system account (--nats-system-creds). --nats-allow-lossy " +
			"accepts it")
	}
	if s.o.Synced != nil {
		err = s.o.Synced(ctx)
	}
	if err == nil && s.o.SystemCreds != "" {
		err = s.syncedBySystem(ctx, info.Cluster)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", c.Name, err)
	}
	return nil
}

// info gets the stream's info from its leader, and notes the leader's clock and the stream's size.
func (s *Sequencer) info(ctx context.Context) (jetstream.Stream, error) {
	asked := time.Now()
	stream, err := s.js.Stream(ctx, s.o.Stream)
	if err == nil {
		info := stream.CachedInfo()
		s.clock.Store(&reading{info.TimeStamp, asked, time.Now()})
		s.extentOf(info)
	}
	return stream, err
}

// reading is what the clock of the stream's leader showed at a moment between asked and answered.
type reading struct {
	shown           time.Time
	asked, answered time.Time // by the monotonic clock
}

// LeaderTime returns the bounds of what the clock of the stream's leader shows now. It is read every ten seconds and
// extrapolated in between.
func (s *Sequencer) LeaderTime() (earliest, latest time.Time) {
	r := s.clock.Load()
	return r.shown.Add(time.Since(r.answered)), r.shown.Add(time.Since(r.asked))
}

// watch checks the stream periodically and after each reconnect. In between it reads the leader's clock.
func (s *Sequencer) watch() {
	for checked := time.Now(); ; {
		again := clockEvery
		if s.fault.Load() != nil {
			again = faultEvery
		}
		select {
		case <-time.After(again):
			if s.fault.Load() == nil && time.Since(checked) < checkEvery {
				s.readClock()
				continue
			}
		case <-s.checks:
		case <-s.ctx.Done():
			return
		}
		s.check()
		checked = time.Now()
	}
}

// checkSoon triggers a check of the stream.
func (s *Sequencer) checkSoon() {
	select {
	case s.checks <- struct{}{}:
	default:
	}
}

// readClock reads the leader's clock. Without an answer the last reading still counts.
func (s *Sequencer) readClock() {
	ctx, cancel := context.WithTimeout(s.ctx, answerTime)
	defer cancel()
	if _, err := s.info(ctx); err != nil {
		s.o.Logger.Debug("cannot read the clock of the stream's leader", "error", err)
	}
}

// goneFor returns for how long the servers have reported that there is no such stream. Those that have just started
// may not know yet.
func (s *Sequencer) goneFor() time.Duration {
	if s.gone.IsZero() {
		s.gone = time.Now()
	}
	return time.Since(s.gone)
}

// check checks the stream again. A fault of the stream keeps commits from being placed; a missing answer
// does not.
func (s *Sequencer) check() {
	ctx, cancel := context.WithTimeout(s.ctx, 10*answerTime)
	defer cancel()
	stream, err := s.info(ctx)
	if err == nil {
		s.gone = time.Time{}
		err = s.judge(ctx, stream.CachedInfo())
	} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
		s.gone = time.Time{}
		return
	} else if s.goneFor() >= s.o.Settle {
		err = fmt.Errorf("%w: there is no stream %s any more", errReplaced, s.o.Stream)
	}
	if errors.Is(err, store.ErrUnavailable) { // it could not be checked that the servers sync
		return
	}
	var fault *error
	if err != nil {
		fault = &err
	}
	if old := s.fault.Swap(fault); err != nil && (old == nil || (*old).Error() != err.Error()) {
		s.o.Logger.Error("the stream's settings are wrong; refusing publishes", "error", err)
	}
}
