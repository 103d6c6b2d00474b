package jetstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"tidings/store"
)

// JetStream's error codes.
const (
	codeWrongLast    = 10071 // wrong last sequence
	codeStreamLimit  = 10077 // max_bytes or max_msgs of the stream
	codeServerFull   = 10023 // the server's store
	codeAccountLimit = 10002
	codeTooLarge     = 10054 // max_msg_size of the stream
	codeWrongStream  = 10060
)

// refusal is the error with which a stream refuses a message.
type refusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%s (%d)", r.Description, r.Code) }

// Append implements store.Sequencer. An attempt that expects the last message to be L can only lie at L+1:
// after an unknown outcome it looks there and, if nothing is there, sends the same again. A refusal because of another
// last message proves nothing by itself: it may be about the attempt itself, sent again, and for a moment a stream can
// have two leaders, of which one refuses what the other one places. What is at L+1 decides.
func (s *Sequencer) Append(ctx context.Context, after store.Place, commit []byte) (store.Place, error) {
	return s.append(ctx, after, commit, s.subject(ofCommit))
}

// AppendState implements store.Sequencer.
func (s *Sequencer) AppendState(ctx context.Context, after store.Place, commit []byte) (store.Place, error) {
	return s.append(ctx, after, commit, s.subject(ofState))
}

func (s *Sequencer) append(ctx context.Context, after store.Place, commit []byte, subject string) (store.Place, error) {
	a, err := s.attemptOf(after, commit, subject)
	if err != nil {
		return store.Place{}, err
	}
	if fault := s.fault.Load(); fault != nil && !a.open {
		return store.Place{}, faulty(*fault)
	}
	var why error // it has no place yet
	for {
		began := time.Now()
		sequence, err := s.publish(ctx, a)
		if err == nil {
			if want := after.Number + uint64(len(a.parts)); sequence != want {
				return store.Place{}, fmt.Errorf("%w: a commit for place %d got %d", store.ErrDiverged, want, sequence)
			}
			s.saw(sequence)
			s.turns.saw(sequence, s.node)
			return store.Place{Number: sequence, Chain: a.chain}, nil
		}
		if errors.Is(err, nats.ErrMaxPayload) && !a.open { // the client did not send it
			return store.Place{}, fmt.Errorf("%w: a message of the log exceeds max_payload of the NATS server: %w",
				store.ErrNoSpace, err)
		}
		if final := s.final(a, began, err); final != nil {
			return store.Place{}, final
		}
		place, told, lookErr := s.decided(ctx, a, err)
		if told {
			if errors.Is(lookErr, store.ErrPlaceTaken) {
				s.sayWaiting(true)
			}
			return place, lookErr
		}
		s.o.Logger.Debug("a commit has no place yet", "after", after.Number, "error", err, "look", lookErr)
		if why == nil || ctx.Err() == nil { // a try that was cut short says nothing
			why = errors.Join(err, lookErr)
		}
		if !s.pause(ctx, againAfter) {
			return store.Place{}, s.unsettled(a, why)
		}
	}
}

// faulty returns the error of an attempt that is not made because of a fault of the stream. Someone may mend it,
// unless the stream is gone.
func faulty(fault error) error {
	if errors.Is(fault, errReplaced) {
		return fault
	}
	return fmt.Errorf("%w: %v", store.ErrUnavailable, fault)
}

// unsettled returns the error of an attempt that is not settled when its time is up.
func (s *Sequencer) unsettled(a *attempt, err error) error {
	if s.rewound(a) {
		return fmt.Errorf("%w: the stream ends before place %d", store.ErrDiverged, a.after.Number)
	}
	return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
}

// attemptOf returns the previous attempt if this call repeats it, or a new one.
func (s *Sequencer) attemptOf(after store.Place, commit []byte, subject string) (*attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.attempt; a != nil && a.after == after && a.subject == subject && bytes.Equal(a.commit, commit) {
		return a, nil
	}
	a, err := s.newAttempt(after, commit, subject)
	s.attempt = a
	return a, err
}

// final returns the error that a failed call means if it settles the attempt, else nil; the attempt is then open.
func (s *Sequencer) final(a *attempt, began time.Time, err error) error {
	no := (*refusal)(nil)
	refused := errors.As(err, &no)
	if refused {
		s.saw(0)
	} else {
		s.leave(began)
	}
	if refused && no.Code == codeWrongStream {
		return fmt.Errorf("%w: %w", store.ErrDiverged, no)
	}
	if !a.open && refused {
		switch no.Code {
		case codeStreamLimit, codeServerFull, codeAccountLimit, codeTooLarge:
			return fmt.Errorf("%w: %w", store.ErrNoSpace, no)
		}
	}
	a.open = true // this call, or an earlier one, may have placed it
	return nil
}

// decided finds out what is at the attempt's place after a call failed; told: the attempt is settled. The message there
// may have been delivered, or arrives at once if the call was refused for it: then no server has to be asked.
func (s *Sequencer) decided(ctx context.Context, a *attempt, err error) (place store.Place, told bool, _ error) {
	no, wait := (*refusal)(nil), time.Duration(0)
	if errors.As(err, &no) && no.Code == codeWrongLast && wrongLast(no) > a.after.Number {
		wait = passedWait
	}
	if own, came := s.passed.await(ctx, a.after.Number+1, a.id, wait); came {
		return a.settled(own)
	}
	return s.look(ctx, a)
}

// settled returns what Append returns once it is known whether the attempt's place is its own.
func (a *attempt) settled(own bool) (place store.Place, told bool, err error) {
	if !own {
		return place, true, store.ErrPlaceTaken
	}
	return store.Place{Number: a.after.Number + uint64(len(a.parts)), Chain: a.chain}, true, nil
}

// wrongLast returns the sequence that a refusal names; it includes messages proposed but not stored yet.
func wrongLast(no *refusal) uint64 {
	var n uint64
	_, _ = fmt.Sscanf(no.Description, "wrong last sequence: %d", &n)
	return n
}

// look finds out what is at the attempt's place; told: the attempt is settled.
func (s *Sequencer) look(ctx context.Context, a *attempt) (place store.Place, told bool, err error) {
	m, err := s.message(ctx, a.after.Number+1)
	if err == nil && m == nil {
		err = s.purgedAfter(ctx, a.after)
		return place, errors.Is(err, store.ErrPurged), err
	}
	if err != nil || m == nil {
		return place, false, err
	}
	s.saw(m.Sequence)
	return a.settled(bytes.Equal(m.Data, a.parts[0]))
}

// rewound reports whether the stream ends before the place that the attempt must follow.
func (s *Sequencer) rewound(a *attempt) bool {
	m, err := s.last(s.ctx, ofAny)
	var end uint64
	if m != nil {
		end = m.Sequence
	}
	return err == nil && end < a.after.Number && s.putBack(end)
}

// publish sends the attempt's messages, once, and returns the sequence of the last one. After a *refusal
// the call has placed nothing; after any other error that is not known.
func (s *Sequencer) publish(ctx context.Context, a *attempt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime+time.Duration(len(a.parts))*20*time.Millisecond)
	defer cancel()
	batch := rand.Text()
	for i, part := range a.parts {
		m := nats.NewMsg(a.subject)
		m.Data = part
		m.Header.Set("Nats-Expected-Stream", s.o.Stream)
		if i == 0 {
			m.Header.Set("Nats-Expected-Last-Sequence", strconv.FormatUint(a.after.Number, 10))
		}
		if len(a.parts) > 1 {
			m.Header.Set("Nats-Batch-Id", batch)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
		if i < len(a.parts)-1 {
			if err := s.nc.PublishMsg(m); err != nil {
				return 0, err
			}
			continue
		}
		if i > 0 {
			m.Header.Set("Nats-Batch-Commit", "1")
		}
		return s.request(ctx, m)
	}
	return 0, errors.New("an attempt without a message")
}

func (s *Sequencer) request(ctx context.Context, m *nats.Msg) (uint64, error) {
	answer, err := s.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Error    *refusal `json:"error"`
		Sequence uint64   `json:"seq"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, fmt.Errorf("an answer that cannot be read: %w", err)
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	return ack.Sequence, nil
}
