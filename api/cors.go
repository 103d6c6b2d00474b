package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// requestHeaders are what a page of another origin may send, beside the attributes of a CloudEvent.
var requestHeaders = []string{"authorization", "content-type", "event-type", "idempotency-key",
	"last-event-id"}

// exposedHeaders are what such a page may read of an answer, beside what every page may (Fetch
// §3.3.5).
var exposedHeaders = []string{"Location", "Retry-After", "Idempotency-Replayed", "Tidings-Next",
	"Tidings-Prev", "Tidings-Caught-Up", "Tidings-Gap", "Tidings-Manifest"}

// preflightAge is how long a browser may remember a preflight's answer, in seconds.
const preflightAge = 600

// newCORS lets the pages of the origins call, with the cookie of a same-site page too. Of any other
// origin, and of a request with other headers, the answers carry nothing that would let a page read
// them.
func newCORS(origins []string) *cors.Cors {
	return cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, origin string) (bool, []string) {
			return slices.Contains(origins, origin) && allowsHeaders(r), nil
		},
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
			http.MethodDelete},
		AllowedHeaders:   []string{"*"}, // allowsHeaders has looked: the library knows no prefixes
		ExposedHeaders:   exposedHeaders,
		AllowCredentials: true,
		MaxAge:           preflightAge,
	})
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// allowsHeaders looks at the headers that a preflight announces (Fetch §3.3.2); other requests have
// none.
func allowsHeaders(r *http.Request) bool {
	for _, value := range r.Header["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(strings.ToLower(value), ",") {
			name = strings.TrimSpace(name)
			if name != "" && !slices.Contains(requestHeaders, name) &&
				!strings.HasPrefix(name, "ce-") {
				return false
			}
		}
	}
	return true
}
