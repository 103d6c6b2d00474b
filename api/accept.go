package api

import (
	"mime"
	"net/http"
	"slices"
	"strings"
)

// accepts reports whether the request's Accept header admits a media type, given by its names, which share a
// top-level type. Without Accept everything is accepted. Preferences are not weighed, except that q=0 refuses.
func accepts(r *http.Request, names ...string) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" {
		return true
	}
	kind, _, _ := strings.Cut(names[0], "/")
	for part := range strings.SplitSeq(accept, ",") {
		base, params, err := mime.ParseMediaType(part)
		refused := params["q"] != "" && strings.Trim(params["q"], "0.") == "" // RFC 9110 §12.4.2
		if err == nil && !refused && (slices.Contains(names, base) || base == kind+"/*" || base == "*/*") {
			return true
		}
	}
	return false
}
