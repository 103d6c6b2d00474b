package api

import (
	"encoding/json"
	"net/http"

	"tidings/internal/wire"
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

// A row of a list counts as rowBytes of memory; rows are counted rowsAtOnce at a time.
const (
	rowBytes   = 512
	rowsAtOnce = 256
)

// writeList answers {"name":[...]}, element by element: the list may be long, and each element can be marshaled.
// silent is a separate member, left out if nil.
func writeList[T any](w http.ResponseWriter, name string, list []T, silent []unansweredBody) {
	w.Header().Set("Content-Type", "application/json")
	out := wire.NewBodyWriter(w)
	out.Raw([]byte(`{"` + name + `":[`))
	for i := range list {
		if i > 0 {
			out.Raw([]byte(","))
		}
		out.Raw(wire.Marshal(&list[i]))
	}
	out.Raw([]byte("]"))
	if silent != nil {
		out.Raw([]byte(`,"unanswered":`))
		out.Raw(wire.Marshal(silent))
	}
	out.Raw([]byte("}\n"))
	_ = out.Close() // fails only when the client is gone
}

// idOrNull returns what an ID is in JSON when zero means that there is none.
func idOrNull(id store.ID) *store.ID {
	if id.IsZero() {
		return nil
	}
	return &id
}
