package api

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidings/internal/wire"
	"tidings/store"
)

const (
	mediaCloudEvent       = "application/cloudevents+json"
	mediaCloudEventsBatch = "application/cloudevents-batch+json"

	maxBatchBytes = 16 << 20 // of the body
)

// mediaNDJSON are the names of media types with one JSON text per line; none is registered. Responses have the first.
var mediaNDJSON = []string{"application/x-ndjson", "application/ndjson", "application/jsonl",
	"application/x-jsonlines", "application/jsonlines"}

// form is a way to send events: the query parameters it accepts, and its reader. The reader gets the topic in the
// path, "" if each event names its own.
type form struct {
	params params
	read   func(s *Server, w http.ResponseWriter, r *http.Request, query url.Values,
		topic string) (publication, *problem)
}

var (
	formData = &form{params{single: []string{"type"}}, (*Server).readData}
	formEnd  = &form{params{}, (*Server).readEnd}

	formCloudEvent       = &form{params{}, (*Server).readCloudEvent}
	formCloudEvents      = &form{params{}, (*Server).readCloudEvents}
	formBinaryCloudEvent = &form{params{}, (*Server).readBinaryCloudEvent}
	formNDJSON           = &form{params{}, (*Server).readNDJSON}
)

// readForm reads a request of form f.
func (s *Server) readForm(f *form, w http.ResponseWriter, r *http.Request,
	topic string) (publication, *problem) {
	query, p := f.params.parse(r)
	if p != nil {
		return publication{}, p
	}
	return f.read(s, w, r, query, topic)
}

// formOf returns the form of the events of POST /v1/topics/{topic}/events.
func formOf(r *http.Request) *form {
	// a type that cannot be parsed is refused by readData
	base, _, _ := wire.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case base == mediaCloudEvent:
		return formCloudEvent
	case base == mediaCloudEventsBatch:
		return formCloudEvents
	case isBinaryCloudEvent(r.Header):
		return formBinaryCloudEvent
	default:
		return formData
	}
}

// isBinaryCloudEvent reports whether a header is an attribute: one is enough, so that an event without its
// specversion is refused and not stored as something else.
func isBinaryCloudEvent(h http.Header) bool {
	for name := range h {
		if len(name) > 3 && strings.EqualFold(name[:3], "ce-") {
			return true
		}
	}
	return false
}

// batchFormOf is formOf for POST /v1/events.
func batchFormOf(r *http.Request) (*form, *problem) {
	switch base, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case slices.Contains(mediaNDJSON, base):
		return formNDJSON, nil
	case base == mediaCloudEventsBatch:
		return formCloudEvents, nil
	default:
		return nil, &problem{code: "media-unsupported", field: "Content-Type",
			detail: fmt.Sprintf("expected %s or %s, got %.128q", mediaNDJSON[0],
				mediaCloudEventsBatch, base)}
	}
}

// readData reads an event whose data is the body. It checks everything else about the request first.
func (s *Server) readData(w http.ResponseWriter, r *http.Request, query url.Values,
	topic string) (publication, *problem) {
	eventType, p := eventTypeOf(r, query)
	if p != nil {
		return publication{}, p
	}
	contentType, kind, err := wire.ContentType(r.Header.Values("Content-Type"))
	if err != nil {
		return publication{}, wireProblem(err)
	}
	data, p := s.readBody(w, r, s.o.MaxEventBytes)
	if p != nil {
		return publication{}, p
	}
	if err := kind.Check(data); err != nil {
		return publication{}, wireProblem(err)
	}
	return visitOf(r).publicationOf(store.Draft{Topic: topic, Type: eventType, ContentType: contentType,
		Data: data}), nil
}

// eventTypeOf reads the type from ?type= or the header Event-Type.
func eventTypeOf(r *http.Request, query url.Values) (string, *problem) {
	headers := r.Header.Values("Event-Type")
	switch inQuery := query.Has("type"); {
	case inQuery && len(headers) > 0:
		return "", &problem{code: "type-invalid", field: "type",
			detail: "the type is given twice: by ?type= and by the header Event-Type"}
	case inQuery:
		return query.Get("type"), wireProblem(wire.CheckType(query.Get("type")))
	case len(headers) > 1:
		return "", &problem{code: "type-invalid", field: "Event-Type",
			detail: "the header Event-Type may be given once"}
	case len(headers) == 1:
		return headers[0], wireProblem(wire.CheckType(headers[0]))
	default:
		return store.DefaultType, nil
	}
}

// readEnd reads a request that ends its topic, which has no body.
func (s *Server) readEnd(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	body, p := s.readBody(w, r, s.o.MaxEventBytes)
	if p != nil {
		return publication{}, p
	}
	if len(body) > 0 {
		return publication{}, &problem{code: "body-not-empty",
			detail: "a request that ends a topic has no body"}
	}
	return visitOf(r).publicationOf(store.Draft{Topic: topic, Type: store.TypeEnd,
		ContentType: "application/json", Data: []byte(`{"topic":"` + topic + `"}`)}), nil
}

// readNDJSON reads a batch with one event per line.
func (s *Server) readNDJSON(w http.ResponseWriter, r *http.Request, _ url.Values,
	_ string) (publication, *problem) {
	body, p := s.openBody(w, r, maxBatchBytes)
	if p != nil {
		return publication{}, p
	}
	pub := publication{batch: true}
	may := topicsOf(r)
	for d, err := range wire.NDJSON(body, s.o.MaxEventBytes) {
		if err != nil {
			return publication{}, body.problem(err)
		}
		if p := may.publish(d.Topic); p != nil {
			return publication{}, p.at(len(pub.groups))
		}
		pub.add(d, "")
	}
	return pub, body.close()
}

// readCloudEvent reads an event in structured mode.
func (s *Server) readCloudEvent(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	if p := checkEnvelopes(r); p != nil {
		return publication{}, p
	}
	body, p := s.readBody(w, r, s.o.MaxEventBytes+wire.MaxAttributesBytes)
	if p != nil {
		return publication{}, p
	}
	e, err := wire.ParseCloudEvent(body, s.destination(topic))
	if err != nil {
		return publication{}, wireProblem(err)
	}
	return cloudEventPublication(r, e), nil
}

// readCloudEvents reads a batch in structured mode.
func (s *Server) readCloudEvents(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	if p := checkEnvelopes(r); p != nil {
		return publication{}, p
	}
	body, p := s.openBody(w, r, maxBatchBytes)
	if p != nil {
		return publication{}, p
	}
	pub := publication{batch: true}
	may, owner := topicsOf(r), grantOf(r).Owner()
	for e, err := range wire.CloudEvents(body, s.destination(topic)) {
		if err != nil {
			return publication{}, body.problem(err)
		}
		if topic == "" {
			if p := may.publish(e.Draft.Topic); p != nil {
				return publication{}, p.at(len(pub.groups))
			}
		}
		pub.add(e.Draft, cloudEventKey(owner, e))
	}
	return pub, body.close()
}

// readBinaryCloudEvent reads an event in binary mode: attributes in headers, the data in the body.
func (s *Server) readBinaryCloudEvent(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	attributes, err := wire.ParseAttributes(r.Header)
	if err != nil {
		return publication{}, wireProblem(err)
	}
	data, p := s.readBody(w, r, s.o.MaxEventBytes)
	if p != nil {
		return publication{}, p
	}
	e, err := wire.BinaryCloudEvent(attributes, r.Header.Get("Content-Type"), data,
		s.destination(topic))
	if err != nil {
		return publication{}, wireProblem(err)
	}
	return cloudEventPublication(r, e), nil
}

// checkEnvelopes refuses a request without a valid media type. The charset of JSON does not matter.
func checkEnvelopes(r *http.Request) *problem {
	if _, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil {
		return &problem{code: "media-unsupported", field: "Content-Type", detail: err.Error()}
	}
	return nil
}

func (s *Server) destination(topic string) wire.Destination {
	return wire.Destination{Topic: topic, MaxData: s.o.MaxEventBytes}
}

// cloudEventPublication is a request to publish one event.
func cloudEventPublication(r *http.Request, e wire.CloudEvent) publication {
	pub := visitOf(r).publicationOf(e.Draft)
	pub.groups[0].Key = cloudEventKey(grantOf(r).Owner(), e)
	return pub
}

// cloudEventKey returns the idempotency key that an event's source and id make for this owner.
func cloudEventKey(owner string, e wire.CloudEvent) string {
	return scopedKey("cloudevent", owner, e.Draft.Topic, e.Source, e.ID)
}

// topics checks the topics that the events of a batch name against the caller's grant.
type topics struct {
	r    *http.Request
	last string // nearly always the next event has the same
}

func topicsOf(r *http.Request) *topics { return &topics{r: r} }

// publish refuses a topic that the caller may not publish to.
func (t *topics) publish(topic string) *problem {
	if topic == t.last {
		return nil
	}
	t.last = topic
	return authorisePublish(t.r, topic)
}
