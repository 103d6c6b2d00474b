package api

import (
	"net/http"
	"slices"

	"github.com/rs/cors"
)

// exposedHeaders are the response headers that a page of an allowed origin may read, besides those that every page
// may (Fetch §3.3.5).
var exposedHeaders = []string{"Location", "Retry-After", "Idempotency-Replayed", "Tidings-Next",
	"Tidings-Prev", "Tidings-Caught-Up", "Tidings-Gap", "Tidings-Who", "Tidings-Manifest",
	"RateLimit", "RateLimit-Policy", "ETag"}

// preflightAge is how long a browser may cache the response to a preflight, in seconds.
const preflightAge = 600

// newCORS lets the pages of these origins call, with the cookie of a same-site page too, and send any headers they
// ask for: libraries add their own, and it is the origin that is trusted. Responses to any other origin carry nothing
// that would let a page read them.
func newCORS(origins []string) *cors.Cors {
	return cors.New(cors.Options{
		AllowOriginFunc: func(origin string) bool { return slices.Contains(origins, origin) },
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
			http.MethodDelete},
		AllowedHeaders:   []string{"*"},
		ExposedHeaders:   exposedHeaders,
		AllowCredentials: true,
		MaxAge:           preflightAge,
	})
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}
