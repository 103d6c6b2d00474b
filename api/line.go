package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tidings/store"
)

// AppendLine appends an event to dst as a line of JSON with the members that it has in pages.
// Unlike there, data and the values of ce are the very bytes that were published: JSON that spans
// lines or nests too deep is given as data_base64, and no data at all leaves both out. ParseLine is
// its reverse.
func AppendLine(dst []byte, e *store.Event) ([]byte, error) {
	dst = append(dst, `{"id":"`...)
	dst, _ = e.ID.AppendText(dst) // never fails
	dst = append(append(dst, `","topic":`...), marshal(e.Topic)...)
	dst = append(append(dst, `,"type":`...), marshal(e.Type)...)
	dst = append(append(dst, `,"time":`...), marshal(e.Time())...)
	if e.ContentType != "" {
		dst = append(append(dst, `,"datacontenttype":`...), marshal(e.ContentType)...)
	}
	switch kind := mediaOf(e.ContentType); {
	case len(e.Data) == 0:
	case kind == jsonMedia && json.Valid(e.Data) && isOneText(e.Data) && nests(e.Data):
		dst = append(append(dst, `,"data":`...), e.Data...)
	case kind == textMedia && utf8.Valid(e.Data):
		dst = append(append(dst, `,"data":`...), marshal(string(e.Data))...)
	default:
		dst = append(append(dst, `,"data_base64":`...), marshal(e.Data)...)
	}
	for i, a := range e.Attributes {
		if !json.Valid([]byte(a.Value)) || !isOneText([]byte(a.Value)) {
			return nil, fmt.Errorf("the attribute %q of event %s is not JSON on one line", a.Name,
				e.ID)
		}
		if i == 0 {
			dst = append(dst, `,"ce":{`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, marshal(a.Name)...), ':'), a.Value...)
	}
	if len(e.Attributes) > 0 {
		dst = append(dst, '}')
	}
	return append(dst, "}\n"...), nil
}

// isOneText reports whether JSON can stand in a line and is found there again: white space around
// it would be lost.
func isOneText(text []byte) bool {
	return bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 &&
		len(bytes.TrimSpace(text)) == len(text)
}

// maxJSONDepth is how deep encoding/json nests.
const maxJSONDepth = 10_000

// nests reports whether JSON is still read when it stands in an object: a publish takes what is as
// deep as can be.
func nests(text []byte) bool {
	return len(text) < 2*maxJSONDepth || json.Valid(slices.Concat([]byte("["), text, []byte("]")))
}

// ParseLine reads a line of AppendLine's, and is strict: a member it does not know, or that is
// there twice, is an error. The ID is zero when there is none; the time is not looked at, because
// the ID has it.
func ParseLine(line []byte) (store.Event, error) {
	var body struct {
		ID          store.ID        `json:"id"`
		Topic       string          `json:"topic"`
		Type        string          `json:"type"`
		Time        json.RawMessage `json:"time"`
		ContentType string          `json:"datacontenttype"`
		Data        json.RawMessage `json:"data"`
		DataBase64  []byte          `json:"data_base64"`
		CloudEvent  json.RawMessage `json:"ce"`
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		return store.Event{}, fmt.Errorf("not an event: %w", err)
	}
	if dec.More() {
		return store.Event{}, errors.New("more than an event")
	}
	if body.Data != nil && body.ContentType == "" {
		body.ContentType = "application/json" // as in a publish
	}
	e := store.Event{ID: body.ID, Topic: body.Topic, Type: body.Type, ContentType: body.ContentType,
		Data: body.DataBase64}
	if body.Data != nil {
		switch {
		case body.DataBase64 != nil:
			return store.Event{}, errors.New("both data and data_base64")
		case mediaOf(body.ContentType) == textMedia:
			var text string
			if err := json.Unmarshal(body.Data, &text); err != nil {
				return store.Event{}, fmt.Errorf("data of %s must be a string: %w",
					body.ContentType, err)
			}
			e.Data = []byte(text)
		default:
			e.Data = body.Data
		}
	}
	if e.Type == "" {
		e.Type = store.DefaultType
	}
	if err := checkLine(line, &e); err != nil {
		return store.Event{}, err
	}
	var err error
	e.Attributes, err = parseAttributes(body.CloudEvent)
	return e, err
}

// checkLine refuses what no publish takes and readers rely on: JSON that is none would spoil its
// page, a type with a line end its stream, and a type of ours its clients. encoding/json takes
// names in any case, and twice.
func checkLine(line []byte, e *store.Event) error {
	names, p := parseObject(line)
	for name := range names {
		if strings.ToLower(name) != name {
			return fmt.Errorf("unknown member %.64q", name)
		}
	}
	if p == nil && e.Type != store.TypeEnd {
		p = checkType(e.Type)
	}
	if p == nil && len(e.Data) > 0 && mediaOf(e.ContentType) == jsonMedia {
		p = checkJSON(e.Data)
	}
	if p != nil {
		return errors.New(p.detail)
	}
	return nil
}

// parseAttributes reads the members of an object in their order.
func parseAttributes(object json.RawMessage) (attributes []store.Attribute, err error) {
	if object == nil {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("ce must be an object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("ce: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("ce: %w", err)
		}
		attributes = append(attributes, store.Attribute{Name: name.(string), Value: string(value)})
	}
	return attributes, nil
}
