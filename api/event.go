package api

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"tidings/store"
)

// eventBody is an event in an answer. Data is the payload itself when it is JSON, a JSON string
// when it is text, null when there is none; other data is in DataBase64.
type eventBody struct {
	ID          store.ID        `json:"id"`
	Topic       string          `json:"topic"`
	Type        string          `json:"type"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	DataBase64  []byte          `json:"data_base64,omitempty"`
	// the attributes it was published with
	CloudEvent map[string]json.RawMessage `json:"ce,omitempty"`
}

func newEventBody(e *store.Event) eventBody {
	b := eventBody{ID: e.ID, Topic: e.Topic, Type: e.Type, Time: e.Time().Format(timeFormat),
		ContentType: e.ContentType}
	switch kind := mediaOf(e.ContentType); {
	case len(e.Data) == 0 && kind != textMedia:
		b.Data = json.RawMessage(null)
	case kind == jsonMedia:
		b.Data = e.Data
	case kind == textMedia:
		b.Data = jsonString(string(e.Data))
	default:
		b.DataBase64 = e.Data
	}
	if len(e.Attributes) > 0 {
		b.CloudEvent = make(map[string]json.RawMessage)
		for _, a := range e.Attributes {
			b.CloudEvent[a.Name] = json.RawMessage(a.Value)
		}
	}
	return b
}

// jsonString is a text as JSON.
func jsonString(text string) json.RawMessage { return marshal(text) }

// event serves GET /v1/events/{id}.
func (s *Server) event(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	text, err := url.PathUnescape(mux.Vars(r)["id"])
	var id store.ID
	if err == nil {
		id, err = store.ParseID(text)
	}
	if err != nil {
		return &problem{code: "id-invalid", field: "id", detail: err.Error()}
	}
	e, err := s.log.Get(id)
	if err == nil && !grantOf(r).Subscribe.Match(e.Topic) {
		err = store.ErrNotFound // as if there were none
	}
	if err != nil {
		return storeProblem(err)
	}
	writeJSON(w, http.StatusOK, "application/json", newEventBody(&e))
	return nil
}
