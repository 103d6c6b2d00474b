package api

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidings/internal/presence"
	"tidings/store"
)

// maxLag is how far a subscriber's lag is counted.
const maxLag = 1000

// ender is how others act on the writer of a stream. Its methods may be called concurrently.
type ender interface {
	// cut ends the stream for this reason, with a bye if it is one: now if a write has waited for its client for
	// stalledAfter, otherwise within stalledAfter.
	cut(why error)
	// stalled reports whether a write has been waiting for its client for more than stalledAfter.
	stalled() bool
}

// subscriber is an open stream, as administrators and metrics see it. Its client reports what the page can do.
type subscriber struct {
	id        string
	owner     ownerHash
	filter    store.Filter
	format    string
	subject   string // of its token
	remote    string
	userAgent string
	since     time.Time
	end       ender
	progress  *progress

	mu   sync.Mutex
	page *presence.Page // nil: its client has reported nothing
	gone bool           // the stream has ended
}

// progress is how far a stream has come. Its writer sets it.
type progress struct {
	live atomic.Bool

	mu     sync.Mutex
	cursor store.ID
	bytes  int64 // written
}

// wrote records what was written, and how far the stream has come.
func (p *progress) wrote(bytes int, at store.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += int64(bytes)
	p.cursor = at
}

// now returns the bytes that were written, and how far the stream has read: at most one page of the log ahead of
// them.
func (p *progress) now() (bytes int64, at store.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes, p.cursor
}

// subscriberIDSize is the number of characters in the ID of a stream.
const subscriberIDSize = 16

// subscribers are the open streams by ID.
type subscribers struct{ byID sync.Map }

func newSubscriberID() string { return rand.Text()[:subscriberIDSize] }

// addSubscriber makes a stream known.
func (s *Server) addSubscriber(r *http.Request, asked *subscription, open *openStream,
	end ender) *subscriber {
	x := &subscriber{
		id: open.script.subscriber, owner: open.owner, filter: open.sub.Filter(), format: asked.format.Name,
		subject: grantOf(r).Subject,
		remote:  s.clientAddr(r).String(), userAgent: r.UserAgent(), since: s.o.Now(), end: end,
		progress: &open.progress,
	}
	x.progress.cursor = open.sub.OpenID()
	s.subscribers.byID.Store(x.id, x)
	return x
}

// The states of a subscriber.
const (
	stateLive       = "live"
	stateCatchingUp = "catching up"
	stateStalled    = "stalled"
)

func (x *subscriber) state() string {
	if x.end.stalled() {
		return stateStalled
	}
	if x.progress.live.Load() {
		return stateLive
	}
	return stateCatchingUp
}

// subscriberBody is a subscriber in the list.
type subscriberBody struct {
	ID         string    `json:"id"`
	Node       string    `json:"node,omitempty"` // the server's name, where several servers keep the log
	Topics     []string  `json:"topics"`
	Format     string    `json:"format"`
	Subject    string    `json:"subject"` // of its token
	Remote     string    `json:"remote"`
	UserAgent  string    `json:"user_agent"`
	Since      time.Time `json:"since"`
	Cursor     store.ID  `json:"cursor"`     // what it would resume after
	LagEvents  int       `json:"lag_events"` // counted to 1,000
	LagSeconds float64   `json:"lag_seconds"`
	Bytes      int64     `json:"bytes"` // sent
	State      string    `json:"state"`

	Hearing *hearingBody `json:"hearing"` // null: its client has reported nothing
}

// listSubscribers serves GET /v1/subscribers: those of all servers of the log. Nothing of it is stored in the log.
func (s *Server) listSubscribers(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	room := &visitOf(r).answer
	list, p := s.ownSubscribers(room)
	if p != nil {
		return p
	}
	var silent []unansweredBody
	if s.o.Nodes != nil {
		own := s.o.Nodes.Label()
		for i := range list {
			list[i].Node = own
		}
		in := s.newIntake(callerOf(r).owner)
		defer in.free()
		list, silent = s.addSubscribers(r.Context(), list, in)
	}
	slices.SortFunc(list, func(a, b subscriberBody) int { return a.Since.Compare(b.Since) })
	writeList(w, "subscribers", list, silent)
	return nil
}

// ownSubscribers lists the streams of this server.
func (s *Server) ownSubscribers(room *share) ([]subscriberBody, *problem) {
	list := []subscriberBody{}
	p := s.eachSubscriber(func(b *subscriberBody) *problem {
		list = append(list, *b)
		if len(list)%rowsAtOnce == 0 && !room.set(int64(len(list))*rowBytes) {
			return memoryFull()
		}
		return nil
	})
	return list, p
}

// eachSubscriber calls f with each stream of this server, until that returns a problem.
func (s *Server) eachSubscriber(f func(*subscriberBody) *problem) *problem {
	info, err := s.log.Info()
	if err != nil {
		return storeProblem(err)
	}
	for _, v := range s.subscribers.byID.Range {
		b, err := s.describe(v.(*subscriber), info.First)
		if err != nil {
			return storeProblem(err)
		}
		if p := f(&b); p != nil {
			return p
		}
	}
	return nil
}

func (s *Server) describe(x *subscriber, first store.ID) (subscriberBody, error) {
	bytes, at := x.progress.now()
	events, age, err := s.lag(x.filter, at, first)
	return subscriberBody{
		ID: x.id, Topics: x.filter.Patterns(), Format: x.format, Subject: x.subject,
		Remote: x.remote, UserAgent: x.userAgent,
		Since: x.since.UTC(), Cursor: at, LagEvents: events, LagSeconds: age.Seconds(),
		Bytes: bytes, State: x.state(), Hearing: x.hearing(),
	}, err
}

// lag returns how many events a subscriber at a position has not received yet, counted to maxLag, and the age of the
// position if there are any. A position before the log's first event is as old as that event.
func (s *Server) lag(f store.Filter, at,
	first store.ID) (events int, age time.Duration, err error) {
	events, err = s.log.Count(f, at, maxLag)
	if err != nil || events == 0 {
		return 0, 0, err
	}
	return events, max(0, s.o.Now().Sub(store.Later(at, first).Time())), nil
}

// cutSubscriber serves DELETE /v1/subscribers/{id}, for whichever server of the log has it: the stream ends with a
// bye if its client accepts one, in about a second if it does not, and the client may reconnect.
func (s *Server) cutSubscriber(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	id := variableOf(r)
	switch {
	case s.cutOwn(id):
		w.WriteHeader(http.StatusNoContent)
		return nil
	case s.o.Nodes != nil && len(id) == subscriberIDSize:
		return s.findElsewhere(w, r, &nodeQuestion{Ask: askCut, ID: id})
	}
	return noSubscriber()
}

// cutOwn ends a stream of this server, and reports whether it has one with this ID.
func (s *Server) cutOwn(id string) bool {
	x, ok := s.subscribers.byID.Load(id)
	if ok {
		x.(*subscriber).end.cut(byeDisconnected)
	}
	return ok
}

func noSubscriber() *problem {
	return &problem{code: "subscriber-not-found", detail: "no stream with this ID: it never existed or has ended"}
}
