package api

import (
	"net/http"
	"net/url"

	"tidings/store"
)

// trim serves POST /v1/topics/{topic}/trim: it deletes the topic's events before an ID. It may be repeated: after an
// error some events are deleted, and the rest is unchanged.
func (s *Server) trim(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	topic, before, p := parseTrim(r, query)
	if p == nil {
		p = s.reach(r.Context(), before)
	}
	if p == nil && s.log.Head().Before(before) {
		p = &problem{code: "id-invalid", field: "before", detail: "the ID is beyond the end of the log"}
	}
	if p != nil {
		return p
	}
	deleted, err := s.log.Trim(r.Context(), topic, before)
	if err != nil {
		return storeProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Deleted int `json:"deleted"`
	}{deleted})
	return nil
}

func parseTrim(r *http.Request,
	query url.Values) (topic store.Filter, before store.ID, p *problem) {
	name, p := pathTopic(r)
	if p != nil {
		return topic, before, p
	}
	if p := refuseReserved(name); p != nil {
		return topic, before, p
	}
	before, err := store.ParseID(query.Get("before"))
	if err != nil {
		return topic, before, &problem{code: "id-invalid", field: "before", detail: err.Error()}
	}
	if topic, err = store.NewFilter(name); err != nil {
		return topic, before, &problem{code: "topic-invalid", field: "topic", detail: err.Error()}
	}
	return topic, before, nil
}
