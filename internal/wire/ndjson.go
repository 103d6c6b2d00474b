package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"tidings/store"
)

// readBuffer is how much of a batch is read at a time.
const readBuffer = 64 << 10

// maxBatchEvents is the maximum number of events in a batch.
const maxBatchEvents = 1000

// NDJSON yields the events of a batch as they arrive, one per line: {"topic","type"?,"data"} or
// {"topic","type"?,"datacontenttype","data_base64"}. A null member, except data, counts as absent. Empty lines are
// skipped. The data of each event has at most maxData bytes. NDJSON stops at the first error, an *Error or body's
// own.
func NDJSON(body io.Reader, maxData int64) iter.Seq2[store.Draft, error] {
	return func(yield func(store.Draft, error) bool) {
		lines := bufio.NewScanner(body)
		lines.Buffer(make([]byte, readBuffer), int(maxEntryBytes(maxData)))
		n, reader := 0, newLineReader(maxData)
		for lines.Scan() && lines.Err() == nil { // at an error Scan yields the torn line before it
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			d, err := reader.read(lines.Bytes())
			if err == nil && n == maxBatchEvents {
				err = tooManyEvents()
			}
			if err != nil {
				yield(store.Draft{}, at(n, err))
				return
			}
			if n++; !yield(d, nil) {
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(store.Draft{}, at(n, entryTooLarge(maxEntryBytes(maxData))))
		case err != nil:
			yield(store.Draft{}, err)
		case n == 0:
			yield(store.Draft{}, emptyBatch())
		}
	}
}

// maxEntryBytes bounds an entry of a batch whose data has at most maxData bytes: JSON may need six bytes for one of
// text, and there is the rest of the entry.
func maxEntryBytes(maxData int64) int64 { return 6*maxData + 4*MaxAttributesBytes }

func entryTooLarge(max int64) error {
	return &Error{Code: "body-too-large", MaxBytes: max,
		Detail: fmt.Sprintf("an entry of a batch has at most %d bytes", max)}
}

func tooManyEvents() error {
	return &Error{Code: "batch-too-large",
		Detail: fmt.Sprintf("a batch has at most %d events", maxBatchEvents)}
}

func emptyBatch() error {
	return &Error{Code: "empty-batch", Detail: "a batch has at least one event"}
}

// lineReader reads the lines of one batch.
type lineReader struct {
	text          bytes.Buffer
	objects       objectReader
	topics, types interner
	kept          keeper // holds the data
	maxData       int64
}

func newLineReader(maxData int64) *lineReader {
	r := &lineReader{maxData: maxData}
	r.objects = objectReader{dec: newDecoder(&r.text), rules: objectRules{accept: acceptMember}}
	return r
}

// read reads a line, of which the event keeps nothing.
func (r *lineReader) read(line []byte) (d store.Draft, err error) {
	r.text = *bytes.NewBuffer(line)
	r.objects.dec.Reset(&r.text, anyNames)
	object, err := r.objects.all(line)
	if err != nil {
		return d, err
	}
	object.DropNulls()
	if err := checkMembers(object); err != nil {
		return d, err
	}
	topic, err := object.text("topic")
	if err != nil {
		return d, err
	}
	d.Topic = r.topics.string(topic)
	if err := store.ValidateTopic(d.Topic); err != nil {
		return d, &Error{Code: "topic-invalid", Field: "topic", Detail: err.Error()}
	}
	if d.Type, err = r.typeOf(object); err != nil {
		return d, err
	}
	if object.Get("data_base64") != nil {
		if d.ContentType, err = object.Text("datacontenttype"); err != nil {
			return d, err
		}
		if d.Data, err = object.data("data_base64", d.ContentType); err != nil {
			return d, err
		}
		return d, checkSize(d.Data, r.maxData)
	}
	d.ContentType = "application/json"
	if err := checkSize(object.Get("data"), r.maxData); err != nil {
		return d, err
	}
	d.Data = r.kept.bytes(object.Get("data"))
	return d, nil
}

func (r *lineReader) typeOf(object Object) (string, error) {
	if object.Get("type") == nil {
		return store.DefaultType, nil
	}
	text, err := object.text("type")
	if err != nil {
		return "", err
	}
	t := r.types.string(text)
	return t, CheckType(t)
}

// The members of a line, in its two forms.
var (
	withData   = []string{"topic", "type", "data"}
	withBase64 = []string{"topic", "type", "datacontenttype", "data_base64"}
)

// acceptMember accepts the members of both forms.
func acceptMember(name string, size int) error {
	if size == 0 && !slices.Contains(withBase64, name) && name != "data" {
		return unknownMember(name, withData)
	}
	return nil
}

func unknownMember(name string, allowed []string) error {
	return &Error{Code: "member-invalid", Field: name,
		Detail: fmt.Sprintf("unknown member %.64q beside %q", name, allowed)}
}

// checkMembers checks a line's members against those of its form.
func checkMembers(object Object) error {
	allowed := withData
	if object.Get("data_base64") != nil {
		allowed = withBase64
	}
	for i := range object {
		if name := object[i].Name; !slices.Contains(allowed, name) {
			return unknownMember(name, allowed)
		}
	}
	for _, name := range allowed {
		if name != "type" && object.Get(name) == nil {
			return &Error{Code: "member-invalid", Field: name,
				Detail: fmt.Sprintf("member %q is missing", name)}
		}
	}
	return nil
}
