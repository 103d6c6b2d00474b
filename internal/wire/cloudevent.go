package wire

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"tidings/store"
)

// CloudEvent is an event that was sent as a CloudEvent: what to store, and the pair that tells
// distinct events apart (CloudEvents 1.0.2 §3.1.1).
type CloudEvent struct {
	Draft      store.Draft
	Source, ID string
}

// Destination is where CloudEvents go.
type Destination struct {
	Topic   string // "": each event names its own in the extension "topic"
	MaxData int64  // bytes of the data of one event
}

// ParseCloudEvent reads an event in structured mode (CloudEvents JSON format 1.0.2 §3). It returns
// an *Error.
func ParseCloudEvent(text []byte, to Destination) (CloudEvent, error) {
	object, err := parseObject(text, envelopeRules())
	if err != nil {
		return CloudEvent{}, err
	}
	return structuredCloudEvent(object, to)
}

// CloudEvents yields the events of a batch as they arrive (CloudEvents JSON format 1.0.2 §4). The
// first error, an *Error or body's own, is the end.
func CloudEvents(body io.Reader, to Destination) iter.Seq2[CloudEvent, error] {
	return func(yield func(CloudEvent, error) bool) {
		entry := &entryReader{body: body, to: to, left: maxEntryBytes(to.MaxData)}
		dec := newDecoder(entry)
		n, err := 0, readStart(dec)
		for err == nil && dec.PeekKind() != ']' {
			var e CloudEvent
			if e, err = entry.read(dec, n); err != nil {
				break
			}
			if n++; !yield(e, nil) {
				return
			}
		}
		if err == nil {
			_, err = dec.ReadToken() // the closing bracket
		}
		if err == nil {
			err = readEnd(dec)
		}
		if err == nil && n == 0 {
			err = emptyBatch()
		}
		if err != nil {
			yield(CloudEvent{}, decodeError(err))
		}
	}
}

// readStart reads the bracket that begins a batch.
func readStart(dec *jsontext.Decoder) error {
	if kind := dec.PeekKind(); kind != '[' && kind != invalid {
		return &Error{Code: "json-invalid", Detail: "expected a JSON array of CloudEvents"}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return err
	}
	return &Error{Code: "empty-body", Detail: "expected a JSON text"}
}

// entryReader reads a batch, and no more of it for one entry than that may have.
type entryReader struct {
	body io.Reader
	to   Destination
	left int64 // of the entry
}

// Read implements io.Reader.
func (r *entryReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, entryTooLarge(r.to.MaxData)
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// read reads the entry of this index.
func (r *entryReader) read(dec *jsontext.Decoder, index int) (CloudEvent, error) {
	r.left = maxEntryBytes(r.to.MaxData)
	if index == maxBatchEvents {
		return CloudEvent{}, tooManyEvents()
	}
	object, err := readObject(dec, envelopeRules())
	if err == nil {
		var e CloudEvent
		if e, err = structuredCloudEvent(object, r.to); err == nil {
			return e, nil
		}
	}
	return CloudEvent{}, at(index, decodeError(err))
}

// decodeError is what an error of a decoder means: that of its reader, or of the JSON.
func decodeError(err error) error {
	var own *Error
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		return &Error{Code: "json-invalid", Offset: syntax.ByteOffset + 1,
			Detail: strings.TrimPrefix(syntax.Error(), "jsontext: ")}
	default:
		return err
	}
}

// envelopeRules end an envelope whose attributes are far too large, whatever their number.
func envelopeRules() objectRules {
	total := 0
	return objectRules{accept: func(name string, size int) error {
		if name == "data" || name == "data_base64" {
			return nil
		}
		if size == 0 {
			size = len(name)
		}
		if total += size; total > 4*MaxAttributesBytes {
			return attributesTooLarge()
		}
		return nil
	}}
}

// structuredCloudEvent makes an event of its envelope, which it changes.
func structuredCloudEvent(envelope Object, to Destination) (CloudEvent, error) {
	envelope.DropNulls()
	d, err := takeData(envelope)
	if err != nil {
		return CloudEvent{}, err
	}
	return newCloudEvent(envelope, d, to)
}

// BinaryCloudEvent makes an event that came in binary mode (CloudEvents HTTP 1.0.2 §3.1) of the
// attributes that ParseAttributes returned, which it changes, and of a body of any content type,
// which it keeps. It returns an *Error.
func BinaryCloudEvent(attributes Object, contentType string, data []byte,
	to Destination) (CloudEvent, error) {
	if contentType == "" && len(data) > 0 {
		if err := checkJSON(data); err != nil {
			return CloudEvent{}, err
		}
		contentType = "application/json"
	} else if contentType != "" {
		if err := checkContent(contentType, data); err != nil {
			return CloudEvent{}, err
		}
	}
	return newCloudEvent(attributes, store.Draft{ContentType: contentType, Data: data}, to)
}

// takeData moves the data out of the envelope (CloudEvents JSON format 1.0.2 §3.1): "data" is a
// JSON value, or the text itself under a content type that is not JSON; "data_base64" is bytes.
func takeData(envelope Object) (d store.Draft, err error) {
	d.ContentType = "application/json"
	if _, ok := envelope["datacontenttype"]; ok {
		if d.ContentType, err = envelope.Text("datacontenttype"); err != nil {
			return d, err
		}
	}
	data, hasData := envelope["data"]
	_, hasBase64 := envelope["data_base64"]
	switch {
	case hasData && hasBase64:
		err = &Error{Code: "cloudevent-invalid", Field: "data",
			Detail: `an event has "data" or "data_base64", not both`}
	case hasBase64:
		d.Data, err = envelope.data("data_base64", d.ContentType)
	case hasData && mediaOf(d.ContentType) == jsonMedia:
		d.Data = data
		_, err = checkContentType(d.ContentType)
	case hasData:
		var text string
		if text, err = envelope.Text("data"); err == nil {
			d.Data = []byte(text)
			err = checkContent(d.ContentType, d.Data)
		}
	default:
		d.ContentType = ""
	}
	for _, name := range []string{"data", "data_base64", "datacontenttype"} {
		delete(envelope, name)
	}
	return d, err
}

// newCloudEvent checks the attributes and gives the draft its topic, type and attributes.
func newCloudEvent(attributes Object, d store.Draft, to Destination) (CloudEvent, error) {
	e := CloudEvent{Draft: d}
	var topic string
	for _, a := range []struct {
		name string
		into *string
	}{{"id", &e.ID}, {"source", &e.Source}, {"topic", &topic}, {"type", &e.Draft.Type}} {
		var err error
		if *a.into, err = attributes.Text(a.name); err != nil {
			return CloudEvent{}, err
		}
	}
	if err := checkAttributes(attributes); err != nil {
		return CloudEvent{}, err
	}
	if err := checkSize(d.Data, to.MaxData); err != nil {
		return CloudEvent{}, err
	}
	var err error
	if e.Draft.Topic, err = to.topic(topic); err != nil {
		return CloudEvent{}, err
	}
	// These go out as the event's own (see envelope), so they are not kept a second time.
	for _, name := range []string{"type", "topic", "sequence", "specversion"} {
		delete(attributes, name)
	}
	for name, value := range attributes {
		e.Draft.Attributes = append(e.Draft.Attributes,
			store.Attribute{Name: name, Value: string(value)})
	}
	slices.SortFunc(e.Draft.Attributes, func(a, b store.Attribute) int {
		return strings.Compare(a.Name, b.Name)
	})
	return e, checkAttributesSize(e.Draft.Attributes)
}

// topic returns the topic of an event that names its own, or none.
func (to Destination) topic(own string) (string, error) {
	if to.Topic == "" {
		if err := store.ValidateTopic(own); err != nil {
			return "", &Error{Code: "topic-invalid", Field: "topic",
				Detail: `the extension "topic": ` + err.Error()}
		}
		return own, nil
	}
	if own != "" && own != to.Topic {
		return "", &Error{Code: "topic-invalid", Field: "topic",
			Detail: fmt.Sprintf(`the extension "topic" says %.64q, the path %q`, own, to.Topic)}
	}
	return to.Topic, nil
}
