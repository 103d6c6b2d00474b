package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"tidings/store"
)

// readNDJSON reads one event a line: {"topic","type"?,"data"} or
// {"topic","type"?,"datacontenttype","data_base64"}.
func (s *Server) readNDJSON(w http.ResponseWriter, r *http.Request, _ url.Values,
	_ string) (publication, *problem) {
	body, p := s.readBody(w, r, bytesPerBatch)
	if p != nil {
		return publication{}, p
	}
	pub := publication{batch: true}
	for text := range bytes.Lines(body) {
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		d, p := s.parseLine(text)
		if p == nil && len(pub.groups) == eventsPerBatch {
			p = tooManyEvents()
		}
		if p != nil {
			return publication{}, p.at(len(pub.groups))
		}
		pub.groups = append(pub.groups, store.Group{Drafts: []store.Draft{d}})
	}
	if len(pub.groups) == 0 {
		return publication{}, emptyBatch()
	}
	return pub, nil
}

func tooManyEvents() *problem {
	return &problem{code: "batch-too-large",
		detail: fmt.Sprintf("a batch has at most %d events", eventsPerBatch)}
}

func emptyBatch() *problem {
	return &problem{code: "empty-batch", detail: "a batch has at least one event"}
}

// at names the entry of a batch that p is about, counted from 0.
func (p *problem) at(index int) *problem {
	p.index = &index
	return p
}

// text returns a member that must be a string, "" if it is missing.
func (m members) text(name string) (string, *problem) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", &problem{code: "member-invalid", field: name,
			detail: fmt.Sprintf("member %q is a string", name)}
	}
	return *s, nil
}

func (s *Server) parseLine(text []byte) (d store.Draft, p *problem) {
	m, p := parseObject(text)
	if p != nil {
		return d, p
	}
	allowed := []string{"topic", "type", "data"}
	if _, ok := m["data_base64"]; ok {
		allowed = []string{"topic", "type", "datacontenttype", "data_base64"}
	}
	for name := range m {
		if !slices.Contains(allowed, name) {
			return d, &problem{code: "member-invalid", field: name,
				detail: fmt.Sprintf("unknown member %.64q beside %q", name, allowed)}
		}
	}
	for _, name := range allowed {
		if _, ok := m[name]; !ok && name != "type" {
			return d, &problem{code: "member-invalid", field: name,
				detail: fmt.Sprintf("member %q is missing", name)}
		}
	}
	if d.Topic, p = m.text("topic"); p != nil {
		return d, p
	}
	if err := store.ValidateTopic(d.Topic); err != nil {
		return d, &problem{code: "topic-invalid", field: "topic", detail: err.Error()}
	}
	d.Type = store.DefaultType
	if _, ok := m["type"]; ok {
		if d.Type, p = m.text("type"); p == nil {
			p = checkType(d.Type)
		}
		if p != nil {
			return d, p
		}
	}
	if _, ok := m["data_base64"]; ok {
		if d.ContentType, p = m.text("datacontenttype"); p == nil {
			d.Data, p = m.base64("data_base64", d.ContentType)
		}
	} else {
		d.ContentType, d.Data = "application/json", m["data"]
	}
	if p == nil {
		p = s.checkSize(d.Data)
	}
	return d, p
}

// base64 returns a member's bytes, which must be what their content type says.
func (m members) base64(name, contentType string) ([]byte, *problem) {
	text, p := m.text(name)
	if p != nil {
		return nil, p
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, &problem{code: "member-invalid", field: name,
			detail: fmt.Sprintf("member %q is base64 (RFC 4648 §4): %v", name, err)}
	}
	return data, checkContent(contentType, data)
}

// checkContent is for events that name their content type themselves: any type will do.
func checkContent(contentType string, data []byte) *problem {
	kind, p := checkContentType(contentType)
	if p == nil {
		p = kind.check(data)
	}
	return p
}

func checkContentType(contentType string) (media, *problem) {
	base, params, err := mime.ParseMediaType(contentType)
	if err != nil || len(contentType) > store.MaxNameBytes ||
		strings.ContainsFunc(contentType, unicode.IsControl) {
		return 0, &problem{code: "member-invalid", field: "datacontenttype",
			detail: fmt.Sprintf("expected a media type, got %.128q", contentType)}
	}
	kind := mediaOfBase(base)
	if kind != binaryMedia && !isUnicode(params) {
		return 0, &problem{code: "media-unsupported", field: "datacontenttype",
			detail: fmt.Sprintf("text is UTF-8, got %.128q", contentType)}
	}
	return kind, nil
}

func (s *Server) checkSize(data []byte) *problem {
	if int64(len(data)) > s.o.MaxEventBytes {
		return &problem{code: "body-too-large", maxBytes: s.o.MaxEventBytes,
			detail: fmt.Sprintf("the data of an event has at most %d bytes", s.o.MaxEventBytes)}
	}
	return nil
}
