package wire

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"tidings/store"
)

// CloudEvent is an event that was sent as a CloudEvent: what to store, and the pair that distinguishes events
// (CloudEvents 1.0.2 §3.1.1).
type CloudEvent struct {
	Draft      store.Draft
	Source, ID string
}

// Destination is where CloudEvents go.
type Destination struct {
	Topic   string // "": each event names its own in the extension "topic"
	MaxData int64  // maximum size of an event's data
}

// ParseCloudEvent reads an event in structured mode (CloudEvents JSON format 1.0.2 §3). It returns
// an *Error.
func ParseCloudEvent(text []byte, to Destination) (CloudEvent, error) {
	r := newEnvelopeReader(newDecoder(bytes.NewBuffer(text)), to)
	envelope, err := r.objects.all(text)
	if err != nil {
		return CloudEvent{}, err
	}
	return r.structured(envelope)
}

// CloudEvents yields the events of a batch as they arrive (CloudEvents JSON format 1.0.2 §4). It stops at the first
// error, an *Error or body's own.
func CloudEvents(body io.Reader, to Destination) iter.Seq2[CloudEvent, error] {
	return func(yield func(CloudEvent, error) bool) {
		// the decoder reads little at a time
		entry := &entryReader{body: bufio.NewReaderSize(body, readBuffer), max: maxEntryBytes(to.MaxData)}
		entry.left = entry.max
		dec := newDecoder(entry)
		r := newEnvelopeReader(dec, to)
		r.objects.kept = new(keeper)
		n, err := 0, readStart(dec)
		for err == nil && dec.PeekKind() != ']' {
			entry.left = entry.max
			var e CloudEvent
			if e, err = r.entry(n); err != nil {
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

// readStart reads the bracket that opens a batch.
func readStart(dec *jsontext.Decoder) error {
	if kind := dec.PeekKind(); kind != '[' && kind != invalid {
		return &Error{Code: "json-invalid", Detail: "expected a JSON array of CloudEvents"}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return err
	}
	return &Error{Code: "empty-body", Detail: "expected a JSON text"}
}

// entryReader reads a batch, and for each entry no more of it than an entry may have.
type entryReader struct {
	body      io.Reader
	max, left int64 // of the entry
}

// Read implements io.Reader.
func (r *entryReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, entryTooLarge(r.max)
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// entry reads the entry with this index.
func (r *envelopeReader) entry(index int) (CloudEvent, error) {
	if index == maxBatchEvents {
		return CloudEvent{}, tooManyEvents()
	}
	envelope, err := r.read()
	if err == nil {
		var e CloudEvent
		if e, err = r.structured(envelope); err == nil {
			return e, nil
		}
	}
	return CloudEvent{}, at(index, decodeError(err))
}

// decodeError returns what an error of a decoder means: the error of its reader, or of the JSON.
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

// envelopeReader reads CloudEvents in structured mode, one after another.
type envelopeReader struct {
	objects    objectReader
	size       int    // of the attributes so far
	attributes Object // of the envelope
	shared     attributeTexts
	to         Destination
}

func newEnvelopeReader(dec *jsontext.Decoder, to Destination) *envelopeReader {
	r := &envelopeReader{to: to}
	r.objects = objectReader{dec: dec, rules: objectRules{accept: r.accept}}
	return r
}

// read reads the next envelope.
func (r *envelopeReader) read() (Object, error) {
	r.size = 0
	return r.objects.read()
}

// accept rejects an envelope whose attributes are far too large, whatever their number.
func (r *envelopeReader) accept(name string, size int) error {
	if name == "data" || name == "data_base64" {
		return nil
	}
	if size == 0 {
		size = len(name)
	}
	if r.size += size; r.size > 4*MaxAttributesBytes {
		return attributesTooLarge()
	}
	return nil
}

// structured makes an event from its envelope, which it modifies.
func (r *envelopeReader) structured(envelope Object) (CloudEvent, error) {
	envelope.DropNulls()
	d, err := takeData(envelope)
	if err != nil {
		return CloudEvent{}, err
	}
	r.attributes = r.attributes[:0]
	for _, m := range envelope {
		if m.Name != "data" && m.Name != "data_base64" && m.Name != "datacontenttype" {
			r.attributes = append(r.attributes, m)
		}
	}
	return r.shared.cloudEvent(r.attributes, d, r.to)
}

// BinaryCloudEvent makes an event that arrived in binary mode (CloudEvents HTTP 1.0.2 §3.1) from the attributes that
// ParseAttributes returned and a body of any content type, which it keeps. It returns an *Error.
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
	return new(attributeTexts).cloudEvent(attributes, store.Draft{ContentType: contentType, Data: data}, to)
}

// takeData takes the data out of the envelope (CloudEvents JSON format 1.0.2 §3.1): "data" is a JSON value, or the
// text itself under a content type that is not JSON; "data_base64" is bytes.
func takeData(envelope Object) (d store.Draft, err error) {
	d.ContentType = "application/json"
	if envelope.Get("datacontenttype") != nil {
		if d.ContentType, err = envelope.Text("datacontenttype"); err != nil {
			return d, err
		}
	}
	data, hasBase64 := envelope.Get("data"), envelope.Get("data_base64") != nil
	switch {
	case data != nil && hasBase64:
		err = &Error{Code: "cloudevent-invalid", Field: "data",
			Detail: `an event has "data" or "data_base64", not both`}
	case hasBase64:
		d.Data, err = envelope.data("data_base64", d.ContentType)
	case data != nil && mediaOf(d.ContentType) == jsonMedia:
		d.Data = data
		_, err = checkContentType(d.ContentType)
	case data != nil:
		if d.Data, err = envelope.text("data"); err == nil {
			err = checkContent(d.ContentType, d.Data)
		}
	default:
		d.ContentType = ""
	}
	return d, err
}

// attributeTexts makes the texts of consecutive events: nearly always they share most of them with the event before.
type attributeTexts struct {
	sources, topics, types interner
	valid                  map[string]bool // sources that are URI references
	values                 []byte
}

// cloudEvent checks the attributes and gives the draft its topic, type and attributes.
func (t *attributeTexts) cloudEvent(attributes Object, d store.Draft, to Destination) (CloudEvent, error) {
	e := CloudEvent{Draft: d}
	id, errID := attributes.text("id")
	source, errSource := attributes.text("source")
	topic, errTopic := attributes.text("topic")
	typ, errType := attributes.text("type")
	if err := cmp.Or(errID, errSource, errTopic, errType); err != nil {
		return CloudEvent{}, err
	}
	e.ID, e.Source, e.Draft.Type = string(id), t.sources.string(source), t.types.string(typ)
	if err := t.check(attributes, e.ID, e.Source, e.Draft.Type); err != nil {
		return CloudEvent{}, err
	}
	if err := checkSize(d.Data, to.MaxData); err != nil {
		return CloudEvent{}, err
	}
	var err error
	if e.Draft.Topic, err = to.topic(t.topics.string(topic)); err != nil {
		return CloudEvent{}, err
	}
	e.Draft.Attributes = t.list(attributes)
	return e, checkAttributesSize(e.Draft.Attributes)
}

// list returns the attributes to store, by name. The others are sent as the event's own (see AppendEnvelope), so they
// are not stored a second time.
func (t *attributeTexts) list(attributes Object) []store.Attribute {
	kept := func(name string) bool {
		return name != "type" && name != "topic" && name != "sequence" && name != "specversion"
	}
	n := 0
	t.values = t.values[:0]
	for _, m := range attributes {
		if kept(m.Name) {
			t.values = append(t.values, m.Value...)
			n++
		}
	}
	list, values := make([]store.Attribute, 0, n), string(t.values)
	for _, m := range attributes {
		if kept(m.Name) {
			list = append(list, store.Attribute{Name: m.Name, Value: values[:len(m.Value)]})
			values = values[len(m.Value):]
		}
	}
	slices.SortFunc(list, func(a, b store.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// topic returns the topic of an event that may name one itself.
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
