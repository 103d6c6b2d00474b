package api

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"tidings/internal/wire"
	"tidings/store"
)

// publication is a publish request, parsed and checked: what to store, and under which keys.
type publication struct {
	groups []store.Group
	batch  bool          // answered as a list
	room   []store.Draft // of a batch: the last block of drafts that groups point into
}

// publicationOf returns the request to publish one event, without a key.
func (v *visit) publicationOf(d store.Draft) publication {
	v.drafts[0], v.groups[0] = d, store.Group{Drafts: v.drafts[:]}
	return publication{groups: v.groups[:]}
}

// add adds an event to a batch, in its own group. The events that follow share the room allocated for it.
func (p *publication) add(d store.Draft, key string) {
	n := len(p.room)
	if n == cap(p.room) {
		p.room, n = make([]store.Draft, 0, min(2*n+8, 128)), 0
	}
	p.room = append(p.room, d)
	p.groups = append(p.groups, store.Group{Drafts: p.room[n : n+1 : n+1], Key: key})
}

// publish serves POST /v1/topics/{topic}/events: an event whose data is the body, a CloudEvent in
// either mode, or a batch of them.
func (s *Server) publish(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	return s.publishTo(w, r, formOf(r))
}

// end serves POST /v1/topics/{topic}/end.
func (s *Server) end(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	return s.publishTo(w, r, formEnd)
}

// publishTo publishes to the topic in the path.
func (s *Server) publishTo(w http.ResponseWriter, r *http.Request, f *form) *problem {
	topic, p := pathTopic(r)
	if p != nil {
		return p
	}
	if p := authorisePublish(r, topic); p != nil {
		return p
	}
	pub, p := s.readForm(f, w, r, topic)
	if p != nil {
		return p
	}
	return s.finishPublish(w, r, pub)
}

// publishBatch serves POST /v1/events: many events, each naming its topic, all or none.
func (s *Server) publishBatch(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	if grantOf(r).Publish.IsZero() { // whatever the body says
		return &problem{code: "topic-forbidden", detail: "the token does not grant publishing"}
	}
	f, p := batchFormOf(r)
	if p != nil {
		return p
	}
	pub, p := s.readForm(f, w, r, "")
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
	answerPublished(w, visitOf(r), pub, results)
	return nil
}

func (s *Server) store(r *http.Request, groups []store.Group) ([]store.Result, *problem) {
	if s.draining() {
		return nil, &problem{code: "draining",
			detail: "the server is shutting down; publish again after the pause"}
	}
	owner := grantOf(r).Owner()
	for i := range groups {
		groups[i].Owner = owner
	}
	// Only the wait to enter a commit ends early: after the log's timeout, or when the client leaves.
	results, err := s.log.AppendOnce(r.Context(), groups)
	if err != nil {
		return nil, storeProblem(err)
	}
	return results, nil
}

// answerPublished answers 201 if anything was stored, 200 if all of it had been stored before. What is stored is on
// disk by then.
func answerPublished(w http.ResponseWriter, v *visit, pub publication, results []store.Result) {
	status := http.StatusOK
	a := answers.Get().(*answer)
	defer answers.Put(a)
	a.text = a.text[:0]
	if pub.batch {
		a.text = append(a.text, `{"events":[`...)
	}
	for i := range results {
		r := &results[i]
		if !r.Replayed {
			status = http.StatusCreated
		}
		for j := range pub.groups[i].Drafts {
			if i+j > 0 {
				a.text = append(a.text, ',')
			}
			a.add(&pub.groups[i].Drafts[j], r.IDs[j], r, pub.batch)
		}
	}
	if status == http.StatusOK {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	if pub.batch {
		a.text = append(a.text, "]}"...)
	} else {
		// relative to /v1/topics/{topic}/events: a proxy may have taken a prefix from the path
		v.location[0] = "../../events/" + results[0].IDs[0].String()
		w.Header()["Location"] = v.location[:]
	}
	w.Header()["Content-Type"] = mediaJSON
	w.WriteHeader(status)
	a.text = append(a.text, '\n')
	_, _ = w.Write(a.text) // fails only when the client is gone
}

// answer is the response to a publisher. The events of a commit nearly always have the same time.
type answer struct {
	text []byte
	at   time.Time // of the last event
	time []byte    // the same, as text
}

var answers = sync.Pool{New: func() any { return new(answer) }}

// add appends an event as the response to a publish shows it: a batch reports an event that an earlier request
// stored, and every response an event that is no longer retained.
func (a *answer) add(d *store.Draft, id store.ID, r *store.Result, batch bool) {
	dst := append(a.text, `{"id":"`...)
	dst, _ = id.AppendText(dst)                                           // never fails
	dst = append(append(dst, `","topic":"`...), d.Topic...)               // its characters need no escapes
	dst, _ = jsontext.AppendQuote(append(dst, `","type":`...), typeOf(d)) // fails if it is not UTF-8
	if at := id.Time(); at != a.at {
		a.at, a.time = at, at.AppendFormat(a.time[:0], wire.TimeFormat)
	}
	dst = append(append(append(dst, `,"time":"`...), a.time...), '"')
	if r.Replayed && batch {
		dst = append(dst, `,"replayed":true`...)
	}
	if r.Trimmed {
		dst = append(dst, `,"trimmed":true`...)
	}
	a.text = append(dst, '}')
}

// mediaJSON is shared, like everyAnswer.
var mediaJSON = []string{"application/json"}

func typeOf(d *store.Draft) string {
	if d.Type == "" {
		return store.DefaultType
	}
	return d.Type
}
