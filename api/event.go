package api

import (
	"net/http"
	"net/url"

	"tidings/internal/wire"
	"tidings/store"
)

// event serves GET /v1/events/{id}.
func (s *Server) event(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	text, err := url.PathUnescape(variableOf(r))
	var id store.ID
	if err == nil {
		id, err = store.ParseID(text)
	}
	if err != nil {
		return &problem{code: "id-invalid", field: "id", detail: err.Error()}
	}
	if p := s.reach(r.Context(), id); p != nil {
		return p
	}
	e, err := s.log.Get(id)
	if err == nil && !grantOf(r).ReadsTopic(e.Topic) {
		err = store.ErrNotFound // as if it did not exist
	}
	if err != nil {
		return storeProblem(err)
	}
	if !visitOf(r).answer.set(int64(e.Size()) + pieceBytes) {
		return memoryFull()
	}
	w.Header().Set("Content-Type", "application/json")
	out := wire.NewBodyWriter(w)
	out.Event(&e)
	out.Raw([]byte("\n"))
	_ = out.Close() // fails only when the client is gone
	return nil
}
