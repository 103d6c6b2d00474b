package api

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"

	"tidings/store"
)

// eventBody is an event in an answer. Data is the payload itself when it is JSON, a JSON string when
// it is text.
type eventBody struct {
	ID          store.ID  `json:"id"`
	Topic       string    `json:"topic"`
	Type        string    `json:"type"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype,omitempty"`
	Data        any       `json:"data"`
}

func newEventBody(e *store.Event) eventBody {
	b := eventBody{ID: e.ID, Topic: e.Topic, Type: e.Type, Time: e.Time(), ContentType: e.ContentType, Data: string(e.Data)}
	if media, _, err := mime.ParseMediaType(e.ContentType); err == nil && isJSONType(media) {
		b.Data = json.RawMessage(e.Data)
	}
	return b
}

// event serves GET /v1/events/{id}.
func (s *Server) event(w http.ResponseWriter, r *http.Request) {
	if _, p := parseQuery(r, nil, nil); p != nil {
		s.fail(w, r, *p)
		return
	}
	text, err := url.PathUnescape(mux.Vars(r)["id"])
	if err == nil {
		var id store.ID
		if id, err = store.ParseID(text); err == nil {
			s.eventByID(w, r, id)
			return
		}
	}
	s.fail(w, r, problem{code: "id-invalid", field: "id", detail: err.Error()})
}

func (s *Server) eventByID(w http.ResponseWriter, r *http.Request, id store.ID) {
	e, err := s.log.Get(id)
	if err != nil {
		s.fail(w, r, storeProblem(err))
		return
	}
	writeJSON(w, http.StatusOK, "application/json", newEventBody(&e))
}
