package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tidings/alert"
	"tidings/deliver"
	"tidings/internal/nodes"
	"tidings/internal/wire"
	"tidings/store"
)

// Desk is what only one of the servers that keep a log has at a time: deliveries, devices and alerts.
type Desk struct {
	Deliveries *deliver.Sender  // nil: none
	Devices    *deliver.Devices // nil: no pushes
	Alerts     *alert.Board     // nil: none
}

// Lease reports which server has the desk; package nodes has one. Its methods are called concurrently.
type Lease interface {
	Holds() bool    // this server, as of now
	Holder() string // the ID of the node that has it according to the log, as of a moment ago; "": none
}

// Close closes everything on the desk.
func (d Desk) Close() {
	d.Devices.Close()
	d.Deliveries.Close()
	d.Alerts.Close()
}

// Sit sets what this server has from now on; the zero Desk is nothing. The server owns none of it. A request under
// way continues with the desk it found.
func (s *Server) Sit(d Desk) { s.desk.Store(&d) }

// Kept returns, for a topic, the event from which on an open alert needs it: see alert.Board. If another server has
// the alerts, or none has them, it reads what the log records about them. Errors are the log's.
func (s *Server) Kept() (from func(topic string) store.ID, err error) {
	board := s.desk.Load().Alerts
	if board != nil && (s.o.Lease == nil || s.o.Lease.Holds()) {
		return board.Kept(), nil
	}
	return alert.KeptOf(s.log)
}

// deskOf returns the desk that atDesk found for the request.
func deskOf(r *http.Request) *Desk             { return visitOf(r).desk }
func senderOf(r *http.Request) *deliver.Sender { return deskOf(r).Deliveries }
func boardOf(r *http.Request) *alert.Board     { return deskOf(r).Alerts }

// ownDesk returns the desk while this server has it, otherwise nil. The server does not have it before it has read
// the deliveries from the log.
func (s *Server) ownDesk() *Desk {
	d := s.desk.Load()
	if s.o.Lease == nil || s.o.Lease.Holds() && d.Deliveries != nil {
		return d
	}
	return nil
}

// atDesk has the request served here if this server has the deliveries and alerts, otherwise by the one that has them.
func (s *Server) atDesk(w http.ResponseWriter, r *http.Request, here func(*Desk) *problem) *problem {
	if d := s.ownDesk(); d != nil {
		visitOf(r).desk = d
		return here(d)
	}
	if r.Context().Value(passedOn{}) != nil { // by a server that does not know yet
		return nobodySends()
	}
	// According to the log: anyone who may speak could claim to be the sender, and would be given tokens.
	if n, ok := s.o.Nodes.Other(s.o.Lease.Holder()); ok && n.Sends {
		return s.passOn(w, r, &n)
	}
	return nobodySends()
}

func nobodySends() *problem {
	return &problem{code: "node-unavailable", detail: "no node sends deliveries and escalates alerts " +
		"at the moment; another one usually takes over within 40 seconds"}
}

// passedOn is the context key that marks a request from another server of the log.
type passedOn struct{}

// passedRequest is a request that a server passes on. Both servers check that it is allowed; the second one trusts
// nothing but the client's address.
type passedRequest struct {
	Method string      `json:"method"`
	URI    string      `json:"uri"`
	Client string      `json:"client"` // its address
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// passedAnswer is the response to a passedRequest.
type passedAnswer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// passedHeaders are those that the endpoints in question read. A token is sent in Authorization, wherever it was.
var passedHeaders = []string{"Accept", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match", "User-Agent"}

const (
	// passedBytes bounds the body of a request that is passed on: no endpoint in question accepts more.
	passedBytes = max(maxSettings, maxAnswerBody)

	// passedAnswerBytes bounds the response. The server that sends it holds it passedCopies times: as it is, and in
	// JSON, which grows. The one that receives it holds that and the body: receivedCopies.
	passedAnswerBytes = 32 << 20
	passedCopies      = 4
	receivedCopies    = 2
)

// passOn has another server answer the request.
func (s *Server) passOn(w http.ResponseWriter, r *http.Request, to *nodes.Node) *problem {
	body, p := s.readBody(w, r, passedBytes)
	if p != nil {
		return p
	}
	q := passedRequest{r.Method, r.URL.RequestURI(), s.clientAddr(r).String(), http.Header{}, body}
	for _, name := range passedHeaders {
		if values := r.Header.Values(name); len(values) > 0 {
			q.Header[name] = values
		}
	}
	if s.o.Verifier != nil {
		token, p := s.tokenOf(r, reading)
		if p != nil {
			return p
		}
		q.Header.Set("Authorization", "Bearer "+token)
	}
	within := s.o.QueueTimeout + nodes.AskWithin
	if strings.HasSuffix(r.URL.Path, "/test") {
		within = testTimeout + nodes.AskWithin
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	said, p := s.askSender(ctx, to, wire.Marshal(nodeQuestion{Ask: askRequest, Request: &q}), &visitOf(r).answer)
	if p != nil {
		return p
	}
	delete(said.Answer.Header, "Connection")
	maps.Copy(w.Header(), said.Answer.Header)
	w.WriteHeader(said.Answer.Status)
	_, _ = w.Write(said.Answer.Body) // fails only when the client is gone
	return nil
}

// askSender asks the server that sends, and holds its answer in a share.
func (s *Server) askSender(ctx context.Context, to *nodes.Node, question []byte, room *share) (said nodeAnswer,
	p *problem) {
	failed := "has not answered"
	text, err := s.o.Nodes.Ask(ctx, to.ID, question, func(bytes int) bool {
		fits := room.set(receivedCopies * int64(bytes))
		if !fits {
			failed = fmt.Sprintf("has answered %d bytes, for which there is no room (--buffer-bytes)", bytes)
		}
		return fits
	})
	if err == nil {
		err = said.read(text)
	}
	if err == nil && (said.Answer == nil || said.Answer.Status < 200 || said.Answer.Status > 599) {
		err = errAnswer
	}
	if err != nil {
		return said, &problem{code: "node-unavailable", cause: err, detail: fmt.Sprintf("%s, which sends deliveries "+
			"and fires the steps of alerts, %s; it may have done what was asked", to.Label, failed)}
	}
	room.set(int64(len(said.Answer.Body)))
	return said, nil
}

// servePassed answers a request that another server passed on, as if it had come here.
func (s *Server) servePassed(ctx context.Context, q *passedRequest, room *intake) nodeAnswer {
	r, err := http.NewRequestWithContext(context.WithValue(ctx, passedOn{}, true), q.Method, q.URI,
		bytes.NewReader(q.Body))
	if err != nil || !strings.HasPrefix(q.URI, "/") {
		return nodeAnswer{Error: "the request cannot be read"}
	}
	client, err := netip.ParseAddr(q.Client)
	if err != nil {
		return nodeAnswer{Error: "the request does not carry its client's address"}
	}
	// Whether the client's Host is allowed was for the first server to decide.
	r.Host, r.RequestURI, r.RemoteAddr = "localhost", q.URI, netip.AddrPortFrom(client, 0).String()
	for name, values := range q.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if len(q.Body) == 0 {
		r.Body = http.NoBody
	}
	w := &passedWriter{passedAnswer: passedAnswer{Header: http.Header{}}, room: room}
	s.handler.ServeHTTP(w, r)
	switch {
	case w.noRoom:
		return nodeAnswer{Error: "there is no room for the answer (--buffer-bytes)"}
	case w.tooLong:
		return nodeAnswer{Error: fmt.Sprintf("the answer is longer than %d bytes", passedAnswerBytes)}
	}
	return nodeAnswer{Answer: &w.passedAnswer}
}

// passedWriter holds a response for another server.
type passedWriter struct {
	passedAnswer
	room            *intake
	tooLong, noRoom bool
}

func (w *passedWriter) Header() http.Header { return w.passedAnswer.Header }

func (w *passedWriter) WriteHeader(status int) {
	if w.Status == 0 {
		w.Status = status
	}
}

func (w *passedWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.tooLong = w.tooLong || len(w.Body)+len(p) > passedAnswerBytes
	w.noRoom = w.noRoom || !w.tooLong && !w.room.set(passedCopies*(len(w.Body)+len(p)))
	if w.tooLong || w.noRoom {
		return 0, io.ErrShortWrite
	}
	w.Body = append(w.Body, p...)
	return len(p), nil
}

// SetWriteDeadline is for http.ResponseController: memory accepts everything at once.
func (w *passedWriter) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline is the same for the body, which has already arrived.
func (w *passedWriter) SetReadDeadline(time.Time) error { return nil }

// recovered turns a panic while answering another server into an error: as with net/http, it ends only that response.
func (s *Server) recovered(answer *[]byte) {
	if p := recover(); p != nil {
		s.metrics.faults.WithLabelValues(faultPanic).Inc()
		s.logSeldom("node-panic", slog.LevelError, "failed to answer another server of the log", "error",
			fmt.Sprint(p))
		*answer = wire.Marshal(nodeAnswer{Error: "a server error; see its log"})
	}
}
