package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tidings/store"
)

// published is the answer to a publish. The event is on disk when it is sent.
type published struct {
	ID    store.ID  `json:"id"`
	Topic string    `json:"topic"`
	Type  string    `json:"type"`
	Time  time.Time `json:"time"`
}

// publish serves POST /v1/topics/{topic}/events: one event, the body is its data.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	draft, p := s.readDraft(w, r)
	if p == nil {
		p = s.store(w, r, draft)
	}
	if p != nil {
		if p.outcome == "" {
			p.outcome = notStored
		}
		s.fail(w, r, *p)
	}
}

func (s *Server) store(w http.ResponseWriter, r *http.Request, draft store.Draft) *problem {
	// Only the wait for a place in the queue ends early, and a client that leaves ends it too.
	ctx, cancel := context.WithTimeout(r.Context(), s.o.QueueTimeout)
	defer cancel()
	ids, err := s.log.Append(ctx, []store.Draft{draft})
	if err != nil {
		p := storeProblem(err)
		return &p
	}
	w.Header().Set("Location", "/v1/events/"+ids[0].String())
	writeJSON(w, http.StatusCreated, "application/json", published{ids[0], draft.Topic, draft.Type, ids[0].Time()})
	return nil
}

// readDraft checks everything about the request before it reads the body, and the body last.
func (s *Server) readDraft(w http.ResponseWriter, r *http.Request) (d store.Draft, p *problem) {
	if s.draining() {
		w.Header().Set("Connection", "close")
		return d, &problem{code: "draining", detail: "the server is shutting down; publish again after the pause"}
	}
	if d.Topic, p = pathTopic(r); p != nil {
		return d, p
	}
	if d.Type, p = eventType(r); p != nil {
		return d, p
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return d, &problem{code: "encoding-unsupported", field: "Content-Encoding", detail: fmt.Sprintf("send the body as it is, without %.64q", e)}
	}
	isJSON, p := contentType(r, &d)
	if p != nil {
		return d, p
	}
	if d.Data, p = s.readBody(w, r); p != nil {
		return d, p
	}
	if isJSON {
		return d, checkJSON(d.Data)
	}
	return d, checkText(d.Data)
}

// eventType reads the type from ?type= or the header Event-Type.
func eventType(r *http.Request) (string, *problem) {
	values, p := parseQuery(r, []string{"type"}, nil)
	if p != nil {
		return "", p
	}
	headers := r.Header.Values("Event-Type")
	switch query, inQuery := values["type"]; {
	case inQuery && len(headers) > 0:
		return "", &problem{code: "type-invalid", field: "type", detail: "the type is given twice: by ?type= and by the header Event-Type"}
	case inQuery:
		return query[0], checkType(query[0])
	case len(headers) > 1:
		return "", &problem{code: "type-invalid", field: "Event-Type", detail: "the header Event-Type may be given once"}
	case len(headers) == 1:
		return headers[0], checkType(headers[0])
	default:
		return store.DefaultType, nil
	}
}

func checkType(t string) *problem {
	bad := &problem{code: "type-invalid", field: "type", detail: fmt.Sprintf("a type is 1 to %d bytes of printable UTF-8", store.MaxNameBytes)}
	if t == "" || len(t) > store.MaxNameBytes || !utf8.ValidString(t) {
		return bad
	}
	if strings.IndexFunc(t, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return bad
	}
	if t == "error" || t == "open" || strings.HasPrefix(t, "tidings.") {
		return &problem{code: "type-reserved", field: "type",
			detail: fmt.Sprintf(`type %q would be taken for a stream's own: "error", "open" and "tidings.*" are reserved`, t)}
	}
	return nil
}

// contentType decides how the body is checked, and what is stored as its type. A missing type and the
// form type, which is what curl sends by itself, count as JSON.
func contentType(r *http.Request, d *store.Draft) (isJSON bool, p *problem) {
	given := r.Header.Values("Content-Type")
	if len(given) == 0 {
		d.ContentType = "application/json"
		return true, nil
	}
	unsupported := &problem{code: "media-unsupported", field: "Content-Type",
		detail: fmt.Sprintf("expected JSON, text/* or XML, in UTF-8, got %.128q", strings.Join(given, ", "))}
	media, params, err := mime.ParseMediaType(given[0])
	if err != nil || len(given) > 1 || len(given[0]) > store.MaxNameBytes {
		return false, unsupported
	}
	switch charset := strings.ToLower(params["charset"]); charset {
	case "", "utf-8", "us-ascii":
	default:
		return false, unsupported
	}
	d.ContentType = given[0]
	switch {
	case media == "application/x-www-form-urlencoded":
		d.ContentType = "application/json"
		return true, nil
	case isJSONType(media):
		return true, nil
	case strings.HasPrefix(media, "text/"), media == "application/xml", strings.HasSuffix(media, "+xml"):
		return false, nil
	default:
		return false, unsupported
	}
}

func isJSONType(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	tooLarge := &problem{code: "body-too-large", maxBytes: s.o.MaxEventBytes, detail: fmt.Sprintf("an event has at most %d bytes", s.o.MaxEventBytes)}
	if r.ContentLength > s.o.MaxEventBytes {
		w.Header().Set("Connection", "close") // the body is not read, so the connection cannot go on
		return nil, tooLarge
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(s.o.BodyTimeout)); err != nil {
		return nil, &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	body := http.MaxBytesReader(w, r.Body, s.o.MaxEventBytes)
	var data []byte
	var err error
	if r.ContentLength > 0 {
		data = make([]byte, r.ContentLength)
		_, err = io.ReadFull(body, data)
	} else {
		data, err = io.ReadAll(body)
	}
	var limit *http.MaxBytesError
	switch {
	case err == nil:
	case errors.As(err, &limit):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &problem{code: "body-timeout", detail: fmt.Sprintf("the body did not arrive within %v", s.o.BodyTimeout)}
	default:
		w.Header().Set("Connection", "close")
		return nil, &problem{code: "bad-body", detail: "the body ended early or is framed wrongly", cause: err}
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return nil, &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	return data, nil
}

// checkText refuses what a stream could only carry changed.
func checkText(data []byte) *problem {
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return &problem{code: "data-not-text", detail: "text data is UTF-8 without NUL"}
	}
	return nil
}

// checkJSON accepts one JSON text (RFC 8259): valid UTF-8 throughout, no lone surrogates, no byte order
// mark. The bytes are stored as they are.
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
	if !utf8.Valid(data) {
		return &problem{code: "json-invalid", detail: "JSON is UTF-8, and this is not"}
	}
	if at := loneSurrogate(data); at >= 0 {
		return &problem{code: "json-invalid", offset: int64(at), detail: `a \u escape names half of a surrogate pair`}
	}
	return nil
}
