package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"tidings/internal/wire"
	"tidings/store"
)

// publication is a request to publish, understood and checked: what to store, and under which keys.
type publication struct {
	groups []store.Group
	batch  bool // answered as a list
}

// publicationOf is a request to publish one event, without a key of its own.
func publicationOf(d store.Draft) publication {
	return publication{groups: []store.Group{{Drafts: []store.Draft{d}}}}
}

// publish serves POST /v1/topics/{topic}/events: an event whose data is the body, a CloudEvent in
// either mode, or a batch of them.
func (s *Server) publish(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	return s.publishTo(w, r, s.formOf(r))
}

// end serves POST /v1/topics/{topic}/end.
func (s *Server) end(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	return s.publishTo(w, r, form{read: s.readEnd})
}

// publishTo publishes to the topic in the path.
func (s *Server) publishTo(w http.ResponseWriter, r *http.Request, f form) *problem {
	topic, p := pathTopic(r)
	if p != nil {
		return p
	}
	if p := authorisePublish(r, topic); p != nil {
		return p
	}
	pub, p := f.publication(w, r, topic)
	if p != nil {
		return p
	}
	return s.finishPublish(w, r, pub)
}

// publishBatch serves POST /v1/events: many events, each naming its topic, all or none.
func (s *Server) publishBatch(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	if grantOf(r).Publish.IsZero() { // whatever the body says
		return &problem{code: "topic-forbidden", detail: "the token grants no publishing"}
	}
	f, p := s.batchFormOf(r)
	if p != nil {
		return p
	}
	pub, p := f.publication(w, r, "")
	if p != nil {
		return p
	}
	return s.finishPublish(w, r, pub)
}

// finishPublish stores what was read, and answers.
func (s *Server) finishPublish(w http.ResponseWriter, r *http.Request, pub publication) *problem {
	if p := applyKey(r, &pub); p != nil {
		return p
	}
	if p := applyCondition(r, &pub); p != nil {
		return p
	}
	results, p := s.store(r, pub.groups)
	if p != nil {
		return p
	}
	s.metrics.published(!slices.ContainsFunc(results, func(r store.Result) bool {
		return !r.Replayed
	}))
	answerPublished(w, pub, results)
	return nil
}

func (s *Server) store(r *http.Request, groups []store.Group) ([]store.Result, *problem) {
	if s.draining() {
		return nil, &problem{code: "draining",
			detail: "the server is shutting down; publish again after the pause"}
	}
	// Only the wait for a place in the queue ends early, and a client that leaves ends it too.
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	owner := grantOf(r).Owner()
	for i := range groups {
		groups[i].Owner = owner
	}
	results, err := s.log.AppendOnce(ctx, groups)
	if err != nil {
		return nil, storeProblem(err)
	}
	return results, nil
}

// published is an event in the answer to a publish. It is on disk when the answer is sent.
type published struct {
	ID       store.ID `json:"id"`
	Topic    string   `json:"topic"`
	Type     string   `json:"type"`
	Time     string   `json:"time"`
	Replayed bool     `json:"replayed,omitempty"` // in a batch: stored by an earlier request
	// stored by an earlier request, and no longer retained
	Trimmed bool `json:"trimmed,omitempty"`
}

// answerPublished answers 201 when anything was stored, 200 when all of it had been before.
func answerPublished(w http.ResponseWriter, pub publication, results []store.Result) {
	var events []published
	status := http.StatusOK
	for i, r := range results {
		if !r.Replayed {
			status = http.StatusCreated
		}
		for j, d := range pub.groups[i].Drafts {
			events = append(events, published{r.IDs[j], d.Topic, typeOf(&d),
				r.IDs[j].Time().Format(wire.TimeFormat), r.Replayed && pub.batch, r.Trimmed})
		}
	}
	if status == http.StatusOK {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	if pub.batch {
		writeJSON(w, status, "application/json", struct {
			Events []published `json:"events"`
		}{events})
		return
	}
	// relative to /v1/topics/{topic}/events: a proxy may have taken a prefix from the path
	w.Header().Set("Location", "../../events/"+events[0].ID.String())
	writeJSON(w, status, "application/json", events[0])
}

func typeOf(d *store.Draft) string {
	if d.Type == "" {
		return store.DefaultType
	}
	return d.Type
}
