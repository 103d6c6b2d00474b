package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tidings/store"
)

// AppendLine appends an event to dst as a line of JSON with the members that it has in pages. Unlike there, data and
// the values of ce are the very bytes that were published: JSON that spans lines or nests deeper than MaxDepth
// becomes data_base64, and no data at all leaves both out. ParseLine is its inverse.
func AppendLine(dst []byte, e *store.Event) ([]byte, error) {
	dst = append(dst, `{"id":"`...)
	dst, _ = e.ID.AppendText(dst) // never fails
	dst = append(append(dst, `","topic":`...), Marshal(e.Topic)...)
	dst = append(append(dst, `,"type":`...), Marshal(e.Type)...)
	dst = append(append(dst, `,"time":`...), Marshal(e.Time())...)
	if e.ContentType != "" {
		dst = append(append(dst, `,"datacontenttype":`...), Marshal(e.ContentType)...)
	}
	switch kind := mediaOf(e.ContentType); {
	case len(e.Data) == 0:
	case kind == jsonMedia && json.Valid(e.Data) && isOneText(e.Data) && !isDeep(e.Data):
		dst = append(append(dst, `,"data":`...), e.Data...)
	case kind == textMedia && utf8.Valid(e.Data):
		dst = append(append(dst, `,"data":`...), Marshal(string(e.Data))...)
	default:
		dst = append(append(dst, `,"data_base64":`...), Marshal(e.Data)...)
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
		dst = append(append(append(dst, Marshal(a.Name)...), ':'), a.Value...)
	}
	if len(e.Attributes) > 0 {
		dst = append(dst, '}')
	}
	return append(dst, "}\n"...), nil
}

// isOneText reports whether JSON fits on a line and can be recovered from it: white space around it would be lost.
func isOneText(text []byte) bool {
	return bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 &&
		len(bytes.TrimSpace(text)) == len(text)
}

// lineBody is a decoded line of AppendLine.
type lineBody struct {
	ID          store.ID        `json:"id"`
	Topic       string          `json:"topic"`
	Type        string          `json:"type"`
	Time        json.RawMessage `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
	DataBase64  []byte          `json:"data_base64"`
	CloudEvent  json.RawMessage `json:"ce"`
}

// ParseLine reads a line of AppendLine, and is strict: an unknown member, or one that occurs twice, is an error. The
// ID is zero if there is none; the time is ignored, because the ID has it.
func ParseLine(line []byte) (store.Event, error) {
	var body lineBody
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		return store.Event{}, fmt.Errorf("not an event: %w", err)
	}
	if dec.More() {
		return store.Event{}, errors.New("unexpected text after the event")
	}
	if body.Data != nil && body.ContentType == "" {
		body.ContentType = "application/json" // as in a publish
	}
	e := store.Event{ID: body.ID, Topic: body.Topic, Type: cmp.Or(body.Type, store.DefaultType),
		ContentType: body.ContentType}
	var err error
	if e.Data, err = body.data(); err != nil {
		return store.Event{}, err
	}
	if err := checkLine(line, &e); err != nil {
		return store.Event{}, err
	}
	e.Attributes, err = lineAttributes(body.CloudEvent)
	return e, err
}

// data returns the bytes that data or data_base64 stands for.
func (b *lineBody) data() ([]byte, error) {
	switch {
	case b.Data == nil:
		return b.DataBase64, nil
	case b.DataBase64 != nil:
		return nil, errors.New("both data and data_base64")
	case mediaOf(b.ContentType) == textMedia:
		var text string
		if err := json.Unmarshal(b.Data, &text); err != nil {
			return nil, fmt.Errorf("data of %s must be a string: %w", b.ContentType, err)
		}
		return []byte(text), nil
	default:
		return b.Data, nil
	}
}

// checkLine refuses what no publish accepts and readers rely on: invalid JSON would spoil its page, a type with a
// line end its stream, and a type of ours its clients. Only what is already in a log, as its ID shows, may nest
// deeper than MaxDepth. encoding/json accepts names in any case, and twice.
func checkLine(line []byte, e *store.Event) error {
	deep := !e.ID.IsZero()
	names, err := parseObject(line, objectRules{deep: deep})
	if err != nil {
		return err
	}
	for _, m := range names {
		if strings.ToLower(m.Name) != m.Name {
			return fmt.Errorf("unknown member %.64q", m.Name)
		}
	}
	if e.Type != store.TypeEnd {
		if err := CheckType(e.Type); err != nil {
			return err
		}
	}
	if len(e.Data) > 0 && mediaOf(e.ContentType) == jsonMedia {
		return checkText(e.Data, deep)
	}
	return nil
}

// lineAttributes reads the members of an object in their order.
func lineAttributes(object json.RawMessage) (attributes []store.Attribute, err error) {
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
