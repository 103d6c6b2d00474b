package api

import (
	"encoding/json"
	"net/http"

	"tidings/store"
)

func writeJSON(w http.ResponseWriter, status int, mediaType string, body any) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // fails only when the client is gone
}

// idOrNull is what an ID is in JSON when zero means that there is none.
func idOrNull(id store.ID) *store.ID {
	if id.IsZero() {
		return nil
	}
	return &id
}
