package api

import (
	"mime"
	"net/http"
	"strings"
)

// accepts reports whether the request's Accept lists the media type, by name or by wildcard;
// without Accept everything is accepted. Preferences are not weighed, but for q=0, which refuses.
func accepts(r *http.Request, mediaType string) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" {
		return true
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	for part := range strings.SplitSeq(accept, ",") {
		base, params, err := mime.ParseMediaType(part)
		refused := params["q"] != "" && strings.Trim(params["q"], "0.") == "" // RFC 9110 §12.4.2
		if err == nil && !refused && (base == mediaType || base == kind+"/*" || base == "*/*") {
			return true
		}
	}
	return false
}
