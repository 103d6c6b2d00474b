package api

import (
	"bytes"
	"net/http"
	"net/url"
	"time"

	"tidings/console"
)

// console serves the admin console and the browser client. The console sees what the API shows to its token, so its
// files are public.
func (s *Server) console(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	f, ok := console.Open(r.URL.Path)
	if !ok {
		return s.notFound(w, r, query)
	}
	h := w.Header()
	h.Set("Content-Type", f.Type)
	h.Set("Content-Security-Policy", console.Policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // stored, but revalidated: a new version shows at once
	h.Set("ETag", f.ETag)
	h["Vary"] = append([]string{varies}, h["Vary"][1:]...) // "*" forbids storing it
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.Content))
	return nil
}
