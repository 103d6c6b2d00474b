package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"tidings/store"
)

// The nodes of a log talk to each other over core NATS, on subjects that are not the stream's, so nothing is stored.
// Package internal/nodes knows what they say. docs/adr/0026 has the reasons.

const (
	// A question is one message, of at most questionBytes. An answer is numbered pieces of pieceBytes, at most
	// answerBytes in all; a server's limit for a message is 1 MiB by default.
	questionBytes = 512 << 10
	pieceBytes    = 256 << 10
	answerBytes   = 64 << 20

	// answersAtOnce bounds the questions that a node answers at a time; further ones get headerBusy.
	answersAtOnce = 64

	// answerWithin bounds the time for an answer, whatever its question says.
	answerWithin = 2 * time.Minute

	headerPiece = "Tidings-Piece" // i/n, from 1
	headerUntil = "Tidings-Until" // until when the asker waits, by the clock of the stream's leader: RFC 3339
	headerBusy  = "Tidings-Busy"
	headerLong  = "Tidings-Long"
)

// nodesSubject is a subject on which the nodes of the log talk. The stream's subjects have the log's ID where this has
// "nodes".
func (s *Sequencer) nodesSubject(to string) string {
	return "tidings." + strings.ToLower(s.o.Stream) + ".nodes." + strings.ToLower(s.logID.String()) + "." + to
}

// allNodes is not the ID of any node.
const allNodes = "all"

// Tell sends a message to all nodes that listen, this one included if it does, at most once. It does not wait.
func (s *Sequencer) Tell(message []byte) error {
	return s.nc.Publish(s.nodesSubject(allNodes), message)
}

// Listen calls told with each message to all nodes, one after the other, and asked with each question to this node, in
// a separate goroutine each, until stop is called, which waits for none of them. node is lower-case letters and
// digits. The result of asked is the answer; its context ends when nobody waits for the answer any longer.
func (s *Sequencer) Listen(node string, told func(message []byte),
	asked func(ctx context.Context, question []byte) []byte) (stop func(), err error) {
	all, err := s.nc.Subscribe(s.nodesSubject(allNodes), func(m *nats.Msg) { told(m.Data) })
	if err != nil {
		return nil, err
	}
	room := make(chan struct{}, answersAtOnce)
	own, err := s.nc.Subscribe(s.nodesSubject(node), func(m *nats.Msg) {
		select {
		case room <- struct{}{}:
			go func() {
				defer func() { <-room }()
				s.answer(m, asked)
			}()
		default:
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{headerBusy: {"1"}}}) // if it fails, the asker times out
		}
	})
	if err != nil {
		return nil, errors.Join(err, all.Unsubscribe())
	}
	return func() { // both fail only if the connection is closed
		_ = all.Unsubscribe()
		_ = own.Unsubscribe()
	}, nil
}

// answer answers a question in pieces. The asker notices by itself what is missing. A question that was held up until
// nobody waits for it is not begun: it may ask for a change to something that has been changed again since.
func (s *Sequencer) answer(m *nats.Msg, asked func(context.Context, []byte) []byte) {
	_, now := s.LeaderTime()
	until, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerUntil))
	if err != nil || !now.Before(until) {
		s.o.Logger.Debug("ignoring a question of another node: it is too late, or has no deadline",
			"until", until, "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, min(until.Sub(now), answerWithin))
	defer cancel()
	body := asked(ctx, m.Data)
	if len(body) > answerBytes {
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{headerLong: {"1"}}}) // if it fails, the asker times out
		return
	}
	n := max(1, (len(body)+pieceBytes-1)/pieceBytes)
	for i := range n {
		piece := body[i*pieceBytes : min(len(body), (i+1)*pieceBytes)]
		err := m.RespondMsg(&nats.Msg{Data: piece, Header: nats.Header{headerPiece: {fmt.Sprintf("%d/%d", i+1, n)}}})
		if err != nil {
			s.o.Logger.Debug("cannot send an answer to another node", "error", err)
			return
		}
	}
}

// Ask asks a node, and returns its answer. The context needs a deadline. Errors: ErrUnavailable, if the node does not
// exist, or does not answer in time or not completely.
func (s *Sequencer) Ask(ctx context.Context, node string, question []byte) ([]byte, error) {
	if len(question) > questionBytes {
		return nil, fmt.Errorf("%w: a question of %d bytes, at most %d", store.ErrUnavailable, len(question),
			questionBytes)
	}
	if !s.nc.IsConnected() { // the client would keep the question, and send it once connected
		return nil, fmt.Errorf("%w: this node has no connection to NATS", store.ErrUnavailable)
	}
	inbox := s.nc.NewInbox() // the inbox of requests is already subscribed to: each piece would come twice
	pieces, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	defer func() { _ = pieces.Unsubscribe() }() // fails only if the connection is closed
	deadline, _ := ctx.Deadline()
	now, _ := s.LeaderTime()
	until := now.Add(time.Until(deadline)).UTC().Format(time.RFC3339Nano)
	err = s.nc.PublishMsg(&nats.Msg{Subject: s.nodesSubject(node), Reply: inbox, Data: question,
		Header: nats.Header{headerUntil: {until}}})
	var answer []byte
	for i, n := 1, 1; err == nil && i <= n; i++ {
		var m *nats.Msg
		if m, err = pieces.NextMsgWithContext(ctx); err != nil {
			break
		}
		var wrong error
		if n, wrong = pieceOf(m, i, n); wrong != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, wrong)
		}
		answer = append(answer, m.Data...)
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("%w: it is not there", store.ErrUnavailable)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: no answer in time", store.ErrUnavailable)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return answer, nil
}

// pieceOf checks that a message is the i-th piece of n, and returns n, which the first piece states.
func pieceOf(m *nats.Msg, i, n int) (int, error) {
	if m.Header.Get(headerBusy) != "" {
		return 0, errors.New("it is busy answering others")
	}
	if m.Header.Get(headerLong) != "" {
		return 0, fmt.Errorf("its answer is longer than %d bytes", answerBytes)
	}
	number, of, ok := strings.Cut(m.Header.Get(headerPiece), "/")
	all, err := strconv.Atoi(of)
	if !ok || err != nil || number != strconv.Itoa(i) || i > 1 && all != n || all < 1 ||
		all > answerBytes/pieceBytes || len(m.Data) > pieceBytes {
		return 0, fmt.Errorf("its answer is incomplete: %.40q is not piece %d", m.Header.Get(headerPiece), i)
	}
	return all, nil
}
