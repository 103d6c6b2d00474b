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
	// answerBytes in all; a server's limit for a message is 1 MiB by default. The first piece states the length, and
	// the others are sent once the asker has said that it has room for them.
	questionBytes = 512 << 10
	pieceBytes    = 256 << 10
	answerBytes   = 64 << 20

	// answersAtOnce bounds the questions that a node answers at a time; further ones get headerBusy.
	answersAtOnce = 64

	// answerWithin bounds the time for an answer, whatever its question says.
	answerWithin = 2 * time.Minute

	headerPiece  = "Tidings-Piece"  // i/n, from 1
	headerLength = "Tidings-Length" // of the whole answer; on the first piece
	headerUntil  = "Tidings-Until"  // until when the asker waits, by the clock of the stream's leader: RFC 3339
	headerBusy   = "Tidings-Busy"
	headerLong   = "Tidings-Long" // the answer is longer than answerBytes, or than the asker has room for
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
// digits. The result of asked is the answer; its context ends when that is sent, or nobody waits for it any longer.
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
	n := piecesOf(len(body))
	for i := range n {
		piece := &nats.Msg{Subject: m.Reply, Data: body[i*pieceBytes : min(len(body), (i+1)*pieceBytes)],
			Header: nats.Header{headerPiece: {fmt.Sprintf("%d/%d", i+1, n)}}}
		if i == 0 {
			piece.Header.Set(headerLength, strconv.Itoa(len(body)))
		}
		if i == 0 && n > 1 {
			err = s.offer(ctx, piece)
		} else {
			err = s.nc.PublishMsg(piece)
		}
		if err != nil {
			s.o.Logger.Debug("cannot send an answer to another node", "error", err)
			return
		}
	}
}

// offer sends the first piece of an answer, and waits until the asker has room for the others.
func (s *Sequencer) offer(ctx context.Context, first *nats.Msg) error {
	m, err := s.nc.RequestMsgWithContext(ctx, first)
	if err == nil && m.Header.Get(headerLong) != "" {
		err = errors.New("the asker has no room for it")
	}
	return err
}

// piecesOf returns the number of pieces of an answer.
func piecesOf(bytes int) int { return max(1, (bytes+pieceBytes-1)/pieceBytes) }

// Ask asks a node, and returns its answer. The context needs a deadline. room is called with the length of the answer
// before more than a piece of it is in memory; false: it is refused. Errors: ErrUnavailable, if the node does not
// exist, or does not answer in time or not completely, or if there is no room.
func (s *Sequencer) Ask(ctx context.Context, node string, question []byte, room func(bytes int) bool) ([]byte, error) {
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
	if err == nil {
		answer, err = gather(ctx, pieces, room)
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

// gather returns the answer whose pieces arrive.
func gather(ctx context.Context, pieces *nats.Subscription, room func(bytes int) bool) (answer []byte, err error) {
	m, err := pieces.NextMsgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	length, err := lengthOf(m)
	if err != nil {
		return nil, err
	}
	n := piecesOf(length)
	if !room(length) {
		if n > 1 {
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{headerLong: {"1"}}}) // if it fails, the node waits in vain
		}
		return nil, fmt.Errorf("there is no room for its answer of %d bytes (--buffer-bytes)", length)
	}
	if n > 1 {
		err = m.Respond(nil)
	}
	answer = make([]byte, 0, length)
	for i := 1; err == nil; i++ {
		want := min(length-len(answer), pieceBytes)
		if m.Header.Get(headerPiece) != fmt.Sprintf("%d/%d", i, n) || len(m.Data) != want {
			return nil, fmt.Errorf("its answer is incomplete: %.40q is not piece %d", m.Header.Get(headerPiece), i)
		}
		if answer = append(answer, m.Data...); i == n {
			return answer, nil
		}
		m, err = pieces.NextMsgWithContext(ctx)
	}
	return nil, err
}

// lengthOf returns the length of an answer, which its first piece states.
func lengthOf(m *nats.Msg) (int, error) {
	if m.Header.Get(headerBusy) != "" {
		return 0, errors.New("it is busy answering others")
	}
	if m.Header.Get(headerLong) != "" {
		return 0, fmt.Errorf("its answer is longer than %d bytes", answerBytes)
	}
	length, err := strconv.Atoi(m.Header.Get(headerLength))
	if err != nil || length < 0 || length > answerBytes {
		return 0, fmt.Errorf("its answer has no length: %.40q", m.Header.Get(headerLength))
	}
	return length, nil
}
