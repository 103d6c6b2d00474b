package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"tidings/store"
)

const (
	mediaNDJSON           = "application/x-ndjson"
	mediaCloudEvent       = "application/cloudevents+json"
	mediaCloudEventsBatch = "application/cloudevents-batch+json"

	eventsPerBatch = 1000
	bytesPerBatch  = 16 << 20
)

// publication is a request to publish, understood and checked: what to store, and under which keys.
type publication struct {
	groups []store.Group
	batch  bool // answered as a list
}

// publish serves POST /v1/topics/{topic}/events: an event whose data is the body, a CloudEvent in
// either mode, or a batch of them.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	topic, p := pathTopic(r)
	if p == nil {
		p = authorisePublish(r, topic)
	}
	var pub publication
	if p == nil {
		pub, p = s.readEvents(w, r, topic)
	}
	s.finishPublish(w, r, pub, p)
}

// readEvents finds out which form the events have.
func (s *Server) readEvents(w http.ResponseWriter, r *http.Request,
	topic string) (publication, *problem) {
	// what cannot be parsed is refused by readDraft
	base, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case base == mediaCloudEvent:
		return s.readCloudEvent(w, r, topic)
	case base == mediaCloudEventsBatch:
		return s.readCloudEvents(w, r, topic)
	case r.Header.Get("Ce-Specversion") != "":
		return s.readBinaryCloudEvent(w, r, topic)
	default:
		draft, p := s.readDraft(w, r, topic)
		return publication{groups: []store.Group{{Drafts: []store.Draft{draft}}}}, p
	}
}

// publishBatch serves POST /v1/events: many events, each naming its topic, all or none.
func (s *Server) publishBatch(w http.ResponseWriter, r *http.Request) {
	var pub publication
	var p *problem
	switch base, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case !isUnicode(params):
		p = &problem{code: "media-unsupported", field: "Content-Type", detail: "a batch is UTF-8"}
	case base == mediaNDJSON:
		pub, p = s.readNDJSON(w, r)
	case base == mediaCloudEventsBatch:
		pub, p = s.readCloudEvents(w, r, "")
	default:
		p = &problem{code: "media-unsupported", field: "Content-Type",
			detail: fmt.Sprintf("expected %s or %s, got %.128q", mediaNDJSON,
				mediaCloudEventsBatch, base)}
	}
	for i := 0; p == nil && i < len(pub.groups); i++ {
		for _, d := range pub.groups[i].Drafts {
			if p = authorisePublish(r, d.Topic); p != nil {
				p = p.at(i)
				break
			}
		}
	}
	s.finishPublish(w, r, pub, p)
}

// end serves POST /v1/topics/{topic}/end.
func (s *Server) end(w http.ResponseWriter, r *http.Request) {
	topic, p := pathTopic(r)
	if p == nil {
		p = authorisePublish(r, topic)
	}
	if p == nil {
		_, p = parseQuery(r, nil, nil)
	}
	var body []byte
	if p == nil {
		body, p = s.readBody(w, r, s.o.MaxEventBytes)
	}
	if p == nil && len(body) > 0 {
		p = &problem{code: "body-not-empty", detail: "ending a topic takes no body"}
	}
	end := store.Draft{Topic: topic, Type: store.TypeEnd, ContentType: "application/json",
		Data: []byte(`{"topic":"` + topic + `"}`)}
	s.finishPublish(w, r, publication{groups: []store.Group{{Drafts: []store.Draft{end}}}}, p)
}

// finishPublish stores what was read, unless there was a problem, and answers.
func (s *Server) finishPublish(w http.ResponseWriter, r *http.Request,
	pub publication, p *problem) {
	var results []store.Result
	if p == nil {
		p = applyKey(r, &pub)
	}
	if p == nil {
		results, p = s.store(r, pub.groups)
	}
	if p != nil {
		if p.outcome == "" {
			p.outcome = notStored
		}
		s.metrics.refused(p.code)
		s.fail(w, r, *p)
		return
	}
	s.metrics.published(!slices.ContainsFunc(results, func(r store.Result) bool {
		return !r.Replayed
	}))
	answerPublished(w, pub, results)
}

func (s *Server) store(r *http.Request, groups []store.Group) ([]store.Result, *problem) {
	if s.draining() {
		return nil, &problem{code: "draining",
			detail: "the server is shutting down; publish again after the pause"}
	}
	// Only the wait for a place in the queue ends early, and a client that leaves ends it too.
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	results, err := s.log.AppendOnce(ctx, groups)
	if err != nil {
		p := storeProblem(err)
		return nil, &p
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
				r.IDs[j].Time().Format(timeFormat), r.Replayed && pub.batch, r.Trimmed})
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
	w.Header().Set("Location", "/v1/events/"+events[0].ID.String())
	writeJSON(w, status, "application/json", events[0])
}

func typeOf(d *store.Draft) string {
	if d.Type == "" {
		return store.DefaultType
	}
	return d.Type
}
