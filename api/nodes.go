package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"tidings/internal/presence"
	"tidings/internal/wire"
	"tidings/store"
)

// What servers of one log ask each other. A server of another release may know other questions.
const (
	askSubscribers = "subscribers"
	askCut         = "cut"
	askReport      = "report"
	askRequest     = "request"
)

// nodeQuestion is what a server asks another server.
type nodeQuestion struct {
	Ask string `json:"ask"`
	ID  string `json:"id,omitempty"` // of the stream to cut off or to report on

	Report *pageReport `json:"report,omitempty"`

	Request *passedRequest `json:"request,omitempty"`
}

// nodeAnswer is the answer to a nodeQuestion; that to askSubscribers has "subscribers" instead, an array.
type nodeAnswer struct {
	Error  string        `json:"error,omitempty"` // why there is no answer
	Found  bool          `json:"found,omitempty"` // the stream was found
	Answer *passedAnswer `json:"answer,omitempty"`
}

// unansweredBody is a server that did not answer a question.
type unansweredBody struct {
	Node   string `json:"node"`
	Detail string `json:"detail"`
}

// answerNode answers another server of the log. The answer counts as a response until it is sent, when ctx ends.
func (s *Server) answerNode(ctx context.Context, question []byte) (answer []byte) {
	room := &intake{share: share{budget: s.answers}}
	defer func() { context.AfterFunc(ctx, room.free) }()
	defer s.recovered(&answer)
	var q nodeQuestion
	if err := json.Unmarshal(question, &q); err != nil {
		return wire.Marshal(nodeAnswer{Error: "cannot read the question"})
	}
	switch q.Ask {
	case askSubscribers:
		return s.subscribersFor(room)
	case askCut:
		return wire.Marshal(nodeAnswer{Found: s.cutOwn(q.ID)})
	case askReport:
		if q.Report != nil {
			return wire.Marshal(nodeAnswer{Found: s.reportOwn(q.ID, s.ownerHashOf(q.Report.Owner), q.Report)})
		}
	case askRequest:
		if q.Request != nil {
			answer = wire.Marshal(s.servePassed(ctx, q.Request, room))
			room.set(len(answer))
			return answer
		}
	}
	return wire.Marshal(nodeAnswer{Error: fmt.Sprintf("this release does not know the question %.40q", q.Ask)})
}

// subscribersFor is the answer to askSubscribers. It is encoded stream by stream: there may be many.
func (s *Server) subscribersFor(room *intake) []byte {
	text := []byte(`{"subscribers":[`)
	p := s.eachSubscriber(func(b *subscriberBody) *problem {
		row := wire.Marshal(b)
		if most := 2*cap(text) + len(row); len(text)+len(row)+len(",]}") > cap(text) {
			if !room.set(cap(text) + most) { // both, while one is copied
				return memoryFull()
			}
			text = append(make([]byte, 0, most), text...)
		}
		if text[len(text)-1] != '[' {
			text = append(text, ',')
		}
		text = append(text, row...)
		return nil
	})
	if p != nil {
		return wire.Marshal(nodeAnswer{Error: p.detail})
	}
	return append(text, "]}"...)
}

// addSubscribers appends those of all other servers of the log to a list, and names the servers that did not answer.
// What they answer is held in the intake, bodies while they are read.
func (s *Server) addSubscribers(ctx context.Context, list []subscriberBody,
	in *intake) (all []subscriberBody, silent []unansweredBody) {
	silent = []unansweredBody{}
	answers := s.o.Nodes.AskAll(ctx, wire.Marshal(nodeQuestion{Ask: askSubscribers}), in.add)
	for i := range answers {
		a := &answers[i]
		err := a.Err
		if err == nil {
			before, room := len(list), 0
			if list, room, err = appendSubscribers(list, a.Node.Label, a.Body, in); err != nil {
				list = list[:before]
				in.add(-room)
			}
			in.add(-len(a.Body))
			a.Body = nil
		}
		if err != nil {
			silent = append(silent, unansweredBody{a.Node.Label, err.Error()})
			s.logSeldom("node-silent", slog.LevelWarn, "another server of the log does not respond",
				"node", a.Node.Label, "error", err)
		}
	}
	return list, silent
}

// appendSubscribers appends the streams of an answer to a list, and returns how many bytes of the intake they take. It
// refuses what this server would not answer. It reads stream by stream, so that no more are in memory than there is
// room for.
func appendSubscribers(list []subscriberBody, node string, body []byte, in *intake) (all []subscriberBody, room int,
	err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	wrong := expect(d, json.Delim('{'))
	for wrong == nil && d.More() {
		var text string
		key, err := d.Token()
		switch {
		case err != nil:
			wrong = err
		case key == "error":
			if wrong = d.Decode(&text); wrong == nil && text != "" {
				return list, room, errors.New(text)
			}
		case key == "subscribers" && room == 0:
			if list, room, wrong = appendRows(list, node, d, in); errors.Is(wrong, errNoRoom) {
				return list, room, errors.New("there is no room for all of its streams (--buffer-bytes)")
			}
		default: // of another release
			wrong = d.Decode(&json.RawMessage{})
		}
	}
	if wrong == nil {
		wrong = expect(d, json.Delim('}'))
	}
	if wrong == nil && d.More() {
		wrong = errors.New("more follows")
	}
	if wrong != nil {
		err = fmt.Errorf("%w: %w", errAnswer, wrong)
	}
	return list, room, err
}

// appendRows appends the streams of an array. The error is errNoRoom, or about the array.
func appendRows(list []subscriberBody, node string, d *json.Decoder, in *intake) (all []subscriberBody, room int,
	err error) {
	if err := expect(d, json.Delim('[')); err != nil {
		return list, 0, err
	}
	n := 0
	for ; d.More(); n++ {
		if n%rowsAtOnce == 0 {
			if !in.add(rowsAtOnce * rowBytes) {
				return list, room, errNoRoom
			}
			room += rowsAtOnce * rowBytes
		}
		var b subscriberBody
		if err := d.Decode(&b); err != nil {
			return list, room, err
		}
		if !b.valid() {
			return list, room, fmt.Errorf("stream %d breaks a rule", n+1)
		}
		b.Node = node
		list = append(list, b)
	}
	in.add(n*rowBytes - room)
	return list, n * rowBytes, expect(d, json.Delim(']'))
}

// expect reads a token that must be this one.
func expect(d *json.Decoder, want json.Token) error {
	got, err := d.Token()
	if err == nil && got != want {
		err = fmt.Errorf("%v instead of %v", got, want)
	}
	return err
}

var errAnswer = errors.New("its answer cannot be read")

// read reads an answer.
func (a *nodeAnswer) read(body []byte) error {
	if err := json.Unmarshal(body, a); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

func (b *subscriberBody) valid() bool {
	_, err := store.NewFilter(b.Topics...)
	if b.Hearing != nil && !slices.Contains(presence.Hearings, b.Hearing.State) {
		return false
	}
	states := []string{stateLive, stateCatchingUp, stateStalled}
	return err == nil && len(b.ID) == subscriberIDSize && url.PathEscape(b.ID) == b.ID &&
		slices.Contains(states, b.State) && !b.Since.IsZero() && b.LagEvents >= 0 && b.LagEvents <= maxLag &&
		b.LagSeconds >= 0 && b.Bytes >= 0
}

// findElsewhere forwards the question to whichever other server has the stream.
func (s *Server) findElsewhere(w http.ResponseWriter, r *http.Request, q *nodeQuestion) *problem {
	found, silent := s.o.Nodes.Find(r.Context(), wire.Marshal(q), func(body []byte) (bool, error) {
		var said nodeAnswer
		err := said.read(body)
		return said.Found, err
	})
	switch {
	case found:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case len(silent) > 0:
		return &problem{code: "node-unavailable", detail: fmt.Sprintf("no node that responds has a stream with "+
			"this ID; %s may have it, but does not respond: %v", silent[0].Node.Label, silent[0].Err)}
	}
	return noSubscriber()
}

// nodeBody is a server of the log in the response of GET /v1/log.
type nodeBody struct {
	Node    string  `json:"node"`
	Self    bool    `json:"self"` // the one that answered
	Version string  `json:"version"`
	Lost    bool    `json:"lost"`
	Heard   float64 `json:"heard_seconds"`
	Lag     uint64  `json:"lag_commits"`
	Behind  float64 `json:"lag_seconds"`
	Silence float64 `json:"silence_seconds"`
	Clock   float64 `json:"clock_seconds"`
	Sends   bool    `json:"sends"`
}

// nodeBodies returns the servers of the log, nil if it has only one.
func (s *Server) nodeBodies() []nodeBody {
	if s.o.Nodes == nil {
		return nil
	}
	list := s.o.Nodes.List()
	bodies := make([]nodeBody, len(list))
	for i := range list {
		n := &list[i]
		bodies[i] = nodeBody{n.Label, n.Self, n.Version, n.Lost(), n.Heard.Seconds(), n.Lag, n.Behind.Seconds(),
			n.Silence.Seconds(), n.Clock.Seconds(), n.Sends}
	}
	return bodies
}
