package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidings/store"
)

// topicBody is a topic, in the list and by itself.
type topicBody struct {
	Topic  string    `json:"topic"`
	Count  uint64    `json:"count"`
	Bytes  uint64    `json:"bytes"`
	First  *store.ID `json:"first"`
	Last   *store.ID `json:"last"`
	Newest store.ID  `json:"newest"` // ever, retained or not
	Ended  *store.ID `json:"ended"`  // the event that ended it
}

// topics serves GET /v1/topics: those that the caller may read, sorted by name.
func (s *Server) topics(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	filter, p := s.parseFilter(r, query["topic"])
	if p != nil {
		return p
	}
	list := []topicBody{}
	for t := range s.log.Topics(filter) {
		list = append(list, bodyOf(t))
		if len(list)%rowsAtOnce == 0 && !visitOf(r).answer.set(int64(len(list))*rowBytes) {
			return memoryFull()
		}
	}
	slices.SortFunc(list, func(a, b topicBody) int { return strings.Compare(a.Topic, b.Topic) })
	pack(w, r)
	writeList(w, "topics", list, nil)
	return nil
}

func bodyOf(t store.TopicInfo) topicBody {
	return topicBody{t.Topic, t.Count, t.Bytes, idOrNull(t.First), idOrNull(t.Last), t.Newest(),
		idOrNull(t.Ended)}
}

// topic serves GET /v1/topics/{topic}. Its entity tag names the newest event, for a publish on the condition that
// nothing came after it.
func (s *Server) topic(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	filter, p := s.parseFilter(r, nil)
	if p != nil {
		return p
	}
	for t := range s.log.Topics(filter) {
		w.Header().Set("ETag", entityTag(t.Newest()))
		writeJSON(w, http.StatusOK, "application/json", bodyOf(t))
		return nil
	}
	return &problem{code: "topic-not-found", field: "topic", detail: "the topic never had an event"}
}
