package api

import (
	"mime"
	"net/http"
	"strings"
)

// media is what a content type means for the data under it.
type media int

const (
	binaryMedia media = iota // carried as base64 wherever text is needed
	textMedia                // UTF-8 without NUL
	jsonMedia                // one JSON text
)

// mediaOf sorts a content type. Those of nearly all events are decided without parsing.
func mediaOf(contentType string) media {
	switch contentType {
	case "application/json":
		return jsonMedia
	case "text/plain":
		return textMedia
	}
	base, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return binaryMedia // so is data without a type
	}
	return mediaOfBase(base)
}

// mediaOfBase is mediaOf for a type without parameters, in lower case.
func mediaOfBase(base string) media {
	switch {
	case base == "application/json", strings.HasSuffix(base, "+json"):
		return jsonMedia
	case strings.HasPrefix(base, "text/"), base == "application/xml",
		strings.HasSuffix(base, "+xml"):
		return textMedia
	default:
		return binaryMedia
	}
}

// check refuses data that is not what its content type says, and what a stream could only carry
// changed.
func (m media) check(data []byte) *problem {
	switch m {
	case jsonMedia:
		return checkJSON(data)
	case textMedia:
		return checkText(data)
	default:
		return nil
	}
}

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
