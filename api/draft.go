package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tidings/store"
)

// readData reads an event whose data is the body. It checks everything else about the request
// first.
func (s *Server) readData(w http.ResponseWriter, r *http.Request, query url.Values,
	topic string) (publication, *problem) {
	d := store.Draft{Topic: topic}
	var p *problem
	if d.Type, p = eventType(r, query); p != nil {
		return publication{}, p
	}
	var kind media
	if d.ContentType, kind, p = contentType(r); p != nil {
		return publication{}, p
	}
	if d.Data, p = s.readBody(w, r, s.o.MaxEventBytes); p != nil {
		return publication{}, p
	}
	if p := kind.check(d.Data); p != nil {
		return publication{}, p
	}
	return publicationOf(d), nil
}

// readEnd reads a request that ends its topic, which has no body.
func (s *Server) readEnd(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	body, p := s.readBody(w, r, s.o.MaxEventBytes)
	if p != nil {
		return publication{}, p
	}
	if len(body) > 0 {
		return publication{}, &problem{code: "body-not-empty",
			detail: "ending a topic takes no body"}
	}
	return publicationOf(store.Draft{Topic: topic, Type: store.TypeEnd,
		ContentType: "application/json", Data: []byte(`{"topic":"` + topic + `"}`)}), nil
}

func publicationOf(d store.Draft) publication {
	return publication{groups: []store.Group{{Drafts: []store.Draft{d}}}}
}

// eventType reads the type from ?type= or the header Event-Type.
func eventType(r *http.Request, values url.Values) (string, *problem) {
	headers := r.Header.Values("Event-Type")
	switch query, inQuery := values["type"]; {
	case inQuery && len(headers) > 0:
		return "", &problem{code: "type-invalid", field: "type",
			detail: "the type is given twice: by ?type= and by the header Event-Type"}
	case inQuery:
		return query[0], checkType(query[0])
	case len(headers) > 1:
		return "", &problem{code: "type-invalid", field: "Event-Type",
			detail: "the header Event-Type may be given once"}
	case len(headers) == 1:
		return headers[0], checkType(headers[0])
	default:
		return store.DefaultType, nil
	}
}

func checkType(t string) *problem {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if t == "" || len(t) > store.MaxNameBytes || !utf8.ValidString(t) ||
		strings.IndexFunc(t, unprintable) >= 0 {
		return &problem{code: "type-invalid", field: "type",
			detail: fmt.Sprintf("a type is 1 to %d bytes of printable UTF-8", store.MaxNameBytes)}
	}
	if t == "error" || t == "open" || strings.HasPrefix(t, "tidings.") {
		return &problem{code: "type-reserved", field: "type",
			detail: fmt.Sprintf(
				`type %q would be taken for a stream's own: "error", "open" and "tidings.*" are `+
					`reserved`,
				t)}
	}
	return nil
}

// contentType decides what is stored as the content type and how the data is checked. A missing
// type and the form type, which is what curl sends by itself, count as JSON.
func contentType(r *http.Request) (contentType string, kind media, p *problem) {
	given := r.Header.Values("Content-Type")
	if len(given) == 0 {
		return "application/json", jsonMedia, nil
	}
	base, params, err := mime.ParseMediaType(given[0])
	if err != nil || len(given) > 1 || len(given[0]) > store.MaxNameBytes || !isUnicode(params) {
		return "", 0, unsupportedMedia(given)
	}
	if base == "application/x-www-form-urlencoded" {
		return "application/json", jsonMedia, nil
	}
	kind = mediaOfBase(base)
	if kind == binaryMedia {
		return "", 0, unsupportedMedia(given)
	}
	return given[0], kind, nil
}

func unsupportedMedia(given []string) *problem {
	return &problem{code: "media-unsupported", field: "Content-Type",
		detail: fmt.Sprintf(
			"expected JSON, text/* or XML, in UTF-8, got %.128q; other data travels as a "+
				"CloudEvent",
			strings.Join(given, ", "))}
}

// isUnicode reports whether a content type's charset is UTF-8 or a part of it.
func isUnicode(params map[string]string) bool {
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "us-ascii":
		return true
	default:
		return false
	}
}

// maxAtOnce bounds the memory that a body gets for being announced; a larger one gets it as it
// arrives.
const maxAtOnce = 64 << 10

// readBody reads a request's body of at most max bytes, within the body time-out. A body that is
// cut short is never returned.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, *problem) {
	for _, e := range r.Header.Values("Content-Encoding") {
		if e != "" && !strings.EqualFold(e, "identity") {
			return nil, &problem{code: "encoding-unsupported", field: "Content-Encoding",
				detail: fmt.Sprintf("send the body as it is, without %.64q", e)}
		}
	}
	if r.ContentLength > max {
		// the body is not read, so the connection cannot go on
		w.Header().Set("Connection", "close")
		return nil, tooLarge(max)
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(s.o.BodyTimeout)); err != nil {
		return nil, &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	body := http.MaxBytesReader(nil, r.Body, max)
	var data []byte
	var err error
	if 0 < r.ContentLength && r.ContentLength <= maxAtOnce {
		data = make([]byte, r.ContentLength)
		_, err = io.ReadFull(body, data)
	} else {
		data, err = io.ReadAll(body)
	}
	var limit *http.MaxBytesError
	switch {
	case err == nil:
	case errors.As(err, &limit):
		w.Header().Set("Connection", "close")
		return nil, tooLarge(max)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &problem{code: "body-timeout",
			detail: fmt.Sprintf("the body did not arrive within %v", s.o.BodyTimeout)}
	default:
		w.Header().Set("Connection", "close")
		return nil, &problem{code: "bad-body",
			detail: "the body ended early or is framed wrongly", cause: err}
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return nil, &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	return data, nil
}

func tooLarge(max int64) *problem {
	return &problem{code: "body-too-large", maxBytes: max,
		detail: fmt.Sprintf("at most %d bytes", max)}
}

func checkText(data []byte) *problem {
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return &problem{code: "data-not-text", detail: "text data is UTF-8 without NUL"}
	}
	return nil
}

// checkJSON accepts one JSON text (RFC 8259): valid UTF-8 throughout, no lone surrogates, no byte
// order mark. The bytes are stored as they are.
func checkJSON(data []byte) *problem {
	if len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
		return &problem{code: "empty-body", detail: "expected a JSON text"}
	}
	if !json.Valid(data) {
		var raw json.RawMessage
		p := &problem{code: "json-invalid", detail: "not a JSON text"}
		var syntax *json.SyntaxError
		if err := json.Unmarshal(data, &raw); errors.As(err, &syntax) {
			p.detail, p.offset = syntax.Error(), syntax.Offset
		}
		return p
	}
	if at := invalidUTF8(data); at >= 0 {
		return &problem{code: "json-invalid", offset: int64(at),
			detail: "JSON is UTF-8, and this is not"}
	}
	if at := loneSurrogate(data); at >= 0 {
		return &problem{code: "json-invalid", offset: int64(at),
			detail: `a \u escape names half of a surrogate pair`}
	}
	return nil
}
