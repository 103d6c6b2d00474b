package api

import (
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

// nodeAnswer is the answer to a nodeQuestion.
type nodeAnswer struct {
	Error       string           `json:"error,omitempty"` // why there is no answer
	Subscribers []subscriberBody `json:"subscribers,omitempty"`
	Found       bool             `json:"found,omitempty"` // the stream was found
	Answer      *passedAnswer    `json:"answer,omitempty"`
}

// unansweredBody is a server that did not answer a question.
type unansweredBody struct {
	Node   string `json:"node"`
	Detail string `json:"detail"`
}

// answerNode answers another server of the log.
func (s *Server) answerNode(ctx context.Context, question []byte) (answer []byte) {
	defer s.recovered(&answer)
	var q nodeQuestion
	if err := json.Unmarshal(question, &q); err != nil {
		return wire.Marshal(nodeAnswer{Error: "cannot read the question"})
	}
	switch q.Ask {
	case askSubscribers:
		room := share{budget: s.answers}
		defer room.set(0)
		list, p := s.ownSubscribers(&room)
		if p != nil {
			return wire.Marshal(nodeAnswer{Error: p.detail})
		}
		return wire.Marshal(nodeAnswer{Subscribers: list})
	case askCut:
		return wire.Marshal(nodeAnswer{Found: s.cutOwn(q.ID)})
	case askReport:
		if q.Report != nil {
			return wire.Marshal(nodeAnswer{Found: s.reportOwn(q.ID, s.ownerHashOf(q.Report.Owner), q.Report)})
		}
	case askRequest:
		if q.Request != nil {
			return wire.Marshal(s.servePassed(ctx, q.Request))
		}
	}
	return wire.Marshal(nodeAnswer{Error: fmt.Sprintf("this release does not know the question %.40q", q.Ask)})
}

// askNodes asks all other servers of the log. It returns the answers, whose form has been checked, and the servers
// that did not give one.
func (s *Server) askNodes(ctx context.Context, q nodeQuestion) (answers []nodeAnswer, silent []unansweredBody) {
	silent = []unansweredBody{}
	for _, a := range s.o.Nodes.AskAll(ctx, wire.Marshal(q)) {
		var said nodeAnswer
		err := a.Err
		if err == nil {
			err = said.read(a.Body)
		}
		if err != nil {
			silent = append(silent, unansweredBody{a.Node.Label, err.Error()})
			s.logSeldom("node-silent", slog.LevelWarn, "another server of the log does not respond", "node", a.Node.Label,
				"error", err)
			continue
		}
		for i := range said.Subscribers {
			said.Subscribers[i].Node = a.Node.Label
		}
		answers = append(answers, said)
	}
	return answers, silent
}

var errAnswer = errors.New("its answer cannot be read")

// read reads an answer, and refuses one that this server would not give.
func (a *nodeAnswer) read(body []byte) error {
	if err := json.Unmarshal(body, a); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	for i := range a.Subscribers {
		if !a.Subscribers[i].valid() {
			return fmt.Errorf("%w: stream %d of %d breaks a rule", errAnswer, i+1, len(a.Subscribers))
		}
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
