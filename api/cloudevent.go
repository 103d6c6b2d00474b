package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/types"

	"tidings/store"
)

// readCloudEvent reads one event in structured mode (CloudEvents JSON format 1.0.2 §3).
func (s *Server) readCloudEvent(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	body, p := s.readEnvelopes(w, r, s.o.MaxEventBytes+maxHeaderBytes)
	if p != nil {
		return publication{}, p
	}
	g, p := s.parseCloudEvent(r, body, topic)
	return publication{groups: []store.Group{g}}, p
}

// readCloudEvents reads a batch (CloudEvents JSON format 1.0.2 §4). Without a topic in the path
// each event names its own in the extension "topic".
func (s *Server) readCloudEvents(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	body, p := s.readEnvelopes(w, r, bytesPerBatch)
	if p != nil {
		return publication{}, p
	}
	if p := checkJSON(body); p != nil {
		return publication{}, p
	}
	var envelopes []json.RawMessage
	switch err := json.Unmarshal(body, &envelopes); {
	case err != nil:
		return publication{}, &problem{code: "json-invalid",
			detail: "expected a JSON array of CloudEvents"}
	case len(envelopes) == 0:
		return publication{}, emptyBatch()
	case len(envelopes) > eventsPerBatch:
		return publication{}, tooManyEvents()
	}
	pub := publication{batch: true, groups: make([]store.Group, len(envelopes))}
	for i, text := range envelopes {
		if pub.groups[i], p = s.parseCloudEvent(r, text, topic); p != nil {
			return publication{}, p.at(i)
		}
	}
	return pub, nil
}

func (s *Server) readEnvelopes(w http.ResponseWriter, r *http.Request,
	max int64) ([]byte, *problem) {
	if _, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		!isUnicode(params) {
		return nil, &problem{code: "media-unsupported", field: "Content-Type",
			detail: "a CloudEvent in JSON is UTF-8"}
	}
	return s.readBody(w, r, max)
}

// cloudEvent collects what an event says of itself.
type cloudEvent struct {
	attributes map[string]json.RawMessage // all but the data and its content type, as JSON
	draft      store.Draft
}

// parseCloudEvent reads an event's JSON.
func (s *Server) parseCloudEvent(r *http.Request, text []byte,
	topic string) (store.Group, *problem) {
	m, p := parseObject(text)
	if p != nil {
		return store.Group{}, p
	}
	e := cloudEvent{attributes: m}
	if p := e.takeData(m); p != nil {
		return store.Group{}, p
	}
	return s.finishCloudEvent(r, e, topic)
}

// takeData moves the data out of the envelope (CloudEvents JSON format 1.0.2 §3.1): "data" is a
// JSON value, or the text itself under a content type that is not JSON; "data_base64" is bytes.
func (e *cloudEvent) takeData(m members) (p *problem) {
	contentType := "application/json"
	if _, ok := m["datacontenttype"]; ok {
		if contentType, p = m.text("datacontenttype"); p != nil {
			return p
		}
	}
	data, hasData := m["data"]
	_, hasBase64 := m["data_base64"]
	e.draft.ContentType = contentType
	switch {
	case hasData && hasBase64:
		return &problem{code: "cloudevent-invalid", field: "data",
			detail: `an event has "data" or "data_base64", not both`}
	case hasBase64:
		e.draft.Data, p = m.base64("data_base64", contentType)
	case hasData && mediaOf(contentType) == jsonMedia:
		e.draft.Data = bytes.Clone(data)
		_, p = checkContentType(contentType)
	case hasData:
		var text string
		if text, p = m.text("data"); p == nil {
			e.draft.Data = []byte(text)
			p = checkContent(contentType, e.draft.Data)
		}
	default:
		e.draft.ContentType = ""
	}
	delete(m, "data")
	delete(m, "data_base64")
	delete(m, "datacontenttype")
	return p
}

// readBinaryCloudEvent reads an event in binary mode (CloudEvents HTTP 1.0.2 §3.1): attributes in
// ce- headers, the data in the body, of any content type.
func (s *Server) readBinaryCloudEvent(w http.ResponseWriter, r *http.Request, _ url.Values,
	topic string) (publication, *problem) {
	e := cloudEvent{attributes: make(map[string]json.RawMessage)}
	for name, values := range r.Header {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		if len(values) > 1 {
			return publication{}, &problem{code: "cloudevent-invalid", field: name,
				detail: "an attribute has one header"}
		}
		value, ok := headerValue(values[0])
		if !ok {
			return publication{}, &problem{code: "cloudevent-invalid", field: name,
				detail: "not a percent-encoded UTF-8 string (CloudEvents HTTP 1.0.2 §3.1.3.2)"}
		}
		e.attributes[attribute], _ = json.Marshal(value)
	}
	var p *problem
	if e.draft.Data, p = s.readBody(w, r, s.o.MaxEventBytes); p != nil {
		return publication{}, p
	}
	if contentType := r.Header.Get("Content-Type"); contentType != "" {
		if p := checkContent(contentType, e.draft.Data); p != nil {
			return publication{}, p
		}
		e.draft.ContentType = contentType
	} else if len(e.draft.Data) > 0 {
		if p := checkJSON(e.draft.Data); p != nil {
			return publication{}, p
		}
		e.draft.ContentType = "application/json"
	}
	g, p := s.finishCloudEvent(r, e, topic)
	return publication{groups: []store.Group{g}}, p
}

// headerValue decodes an attribute's header: an optional pair of quotes, then percent-encoding.
func headerValue(v string) (string, bool) {
	if inner, ok := strings.CutPrefix(v, `"`); ok {
		if inner, ok = strings.CutSuffix(inner, `"`); ok {
			v = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(inner)
		}
	}
	v, err := url.PathUnescape(v)
	return v, err == nil && utf8.ValidString(v)
}

// finishCloudEvent checks the attributes and makes a draft of the event, under the key that its
// source and id are.
func (s *Server) finishCloudEvent(r *http.Request, e cloudEvent,
	topic string) (store.Group, *problem) {
	var fail *problem
	text := func(name string) string {
		v, p := members(e.attributes).text(name)
		if p != nil && fail == nil {
			fail = p
		}
		return v
	}
	id, source, own := text("id"), text("source"), text("topic")
	e.draft.Type, e.draft.Topic = text("type"), topic
	if fail == nil {
		fail = e.check(text)
	}
	if fail == nil {
		fail = s.checkSize(e.draft.Data)
	}
	if fail != nil {
		return store.Group{}, fail
	}
	switch {
	case topic == "":
		if err := store.ValidateTopic(own); err != nil {
			return store.Group{}, &problem{code: "topic-invalid", field: "topic",
				detail: `the extension "topic": ` + err.Error()}
		}
		e.draft.Topic = own
	case own != "" && own != topic:
		return store.Group{}, &problem{code: "topic-invalid", field: "topic",
			detail: fmt.Sprintf(`the extension "topic" says %.64q, the path %q`, own, topic)}
	}
	// These go out as the event's own (see envelope), so they are not kept a second time.
	for _, name := range []string{"type", "topic", "sequence", "specversion"} {
		delete(e.attributes, name)
	}
	for name, value := range e.attributes {
		e.draft.Attributes = append(e.draft.Attributes,
			store.Attribute{Name: name, Value: string(value)})
	}
	if p := checkAttributesSize(e.draft.Attributes); p != nil {
		return store.Group{}, p
	}
	slices.SortFunc(e.draft.Attributes, func(a, b store.Attribute) int {
		return strings.Compare(a.Name, b.Name)
	})
	return store.Group{Drafts: []store.Draft{e.draft},
		Key: scopedKey("cloudevent", grantOf(r).Subject, e.draft.Topic, source, id)}, nil
}

// check holds the attributes against CloudEvents 1.0.2 §3.
func (e *cloudEvent) check(text func(string) string) *problem {
	bad := func(name, detail string) *problem {
		return &problem{code: "cloudevent-invalid", field: name, detail: detail}
	}
	for _, name := range []string{"id", "source", "type"} {
		if text(name) == "" {
			return bad(name, fmt.Sprintf("attribute %q is required and not empty", name))
		}
	}
	if v := text("specversion"); v != "1.0" {
		return bad("specversion", fmt.Sprintf(`expected specversion "1.0", got %.16q`, v))
	}
	if p := checkType(text("type")); p != nil {
		return p
	}
	if _, err := url.Parse(text("source")); err != nil {
		return bad("source", "source is a URI reference")
	}
	for name, value := range e.attributes {
		if p := checkAttribute(name, value); p != nil {
			return p
		}
	}
	if raw, ok := e.attributes["time"]; ok {
		if _, err := types.ParseTime(text("time")); err != nil {
			return bad("time", fmt.Sprintf("time is an RFC 3339 timestamp, got %.64s", raw))
		}
	}
	if _, ok := e.attributes["dataschema"]; ok {
		if u, err := url.Parse(text("dataschema")); err != nil || !u.IsAbs() {
			return bad("dataschema", "dataschema is an absolute URI")
		}
	}
	if _, ok := e.attributes["subject"]; ok && text("subject") == "" {
		return bad("subject", "subject is not empty if it is there")
	}
	return nil
}

// checkAttribute: names are lower-case letters and digits, and not those of the data and its
// content type, which are no attributes here; a value in JSON is a string, a boolean or an integer
// of 32 bits (CloudEvents 1.0.2 §3.1). A null means that the attribute is not there, which is said
// by leaving it out.
func checkAttribute(name string, value json.RawMessage) *problem {
	plain := func(c rune) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	if name == "" || len(name) > store.MaxNameBytes ||
		strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
		return &problem{code: "cloudevent-invalid", field: name, detail: fmt.Sprintf(
			"attribute names are lower-case letters and digits, got %.64q", name)}
	}
	if name == "data" || name == "datacontenttype" {
		return &problem{code: "cloudevent-invalid", field: name, detail: fmt.Sprintf(
			"%q is no attribute: data is the body, and its type the header Content-Type", name)}
	}
	_, err := strconv.ParseInt(string(value), 10, 32)
	if c := value[0]; err != nil && c != '"' && c != 't' && c != 'f' {
		return &problem{code: "cloudevent-invalid", field: name, detail: fmt.Sprintf(
			"attribute %q is a string, a boolean or an integer of 32 bits", name)}
	}
	return nil
}

// checkAttributesSize allows what headers have room for, in every mode: a page counts on it.
func checkAttributesSize(attributes []store.Attribute) *problem {
	size := 0
	for _, a := range attributes {
		size += len(a.Name) + len(a.Value)
	}
	if size > maxHeaderBytes {
		return &problem{code: "body-too-large", maxBytes: maxHeaderBytes,
			detail: fmt.Sprintf("the attributes of an event have at most %d bytes", maxHeaderBytes)}
	}
	return nil
}
