package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidings/store"
)

// topicBody is a topic in the list.
type topicBody struct {
	Topic string    `json:"topic"`
	Count uint64    `json:"count"`
	Bytes uint64    `json:"bytes"`
	First *store.ID `json:"first"`
	Last  *store.ID `json:"last"`
	Ended *store.ID `json:"ended"` // the event that ended it
}

// topics serves GET /v1/topics: what the caller may read, sorted by name.
func (s *Server) topics(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	filter, p := s.parseFilter(r, query["topic"])
	if p != nil {
		return p
	}
	list := []topicBody{}
	for t := range s.log.Topics(filter) {
		list = append(list, topicBody{t.Topic, t.Count, t.Bytes, idOrNull(t.First),
			idOrNull(t.Last), idOrNull(t.Ended)})
		if len(list)%rowsAtOnce == 0 && !visitOf(r).answer.set(int64(len(list))*rowBytes) {
			return memoryFull()
		}
	}
	slices.SortFunc(list, func(a, b topicBody) int { return strings.Compare(a.Topic, b.Topic) })
	pack(w, r)
	writeList(w, "topics", list)
	return nil
}
