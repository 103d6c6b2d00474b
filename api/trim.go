package api

import (
	"net/http"

	"tidings/store"
)

// trim serves POST /v1/topics/{topic}/trim: it deletes the topic's events before an ID. It may be
// repeated: after an error a part is deleted, and the rest stays as it was.
func (s *Server) trim(w http.ResponseWriter, r *http.Request) {
	topic, before, p := parseTrim(r)
	if p != nil {
		s.fail(w, r, *p)
		return
	}
	deleted, err := s.log.Trim(r.Context(), topic, before)
	if err != nil {
		s.fail(w, r, storeProblem(err))
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Deleted int `json:"deleted"`
	}{deleted})
}

func parseTrim(r *http.Request) (topic store.Filter, before store.ID, p *problem) {
	values, p := parseQuery(r, []string{"before"}, nil)
	if p != nil {
		return topic, before, p
	}
	name, p := pathTopic(r)
	if p != nil {
		return topic, before, p
	}
	before, err := store.ParseID(values.Get("before"))
	if err != nil {
		return topic, before, &problem{code: "id-invalid", field: "before", detail: err.Error()}
	}
	if topic, err = store.NewFilter(name); err != nil {
		return topic, before, &problem{code: "topic-invalid", field: "topic", detail: err.Error()}
	}
	return topic, before, nil
}
