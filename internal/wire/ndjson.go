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

// maxBatchEvents is how many events a batch has at most.
const maxBatchEvents = 1000

// NDJSON yields the events of a batch as they arrive, one a line: {"topic","type"?,"data"} or
// {"topic","type"?,"datacontenttype","data_base64"}. A member that is null, but for the data, is
// absent. Empty lines are no events. The data of each
// has at most maxData bytes. The first error, an *Error or body's own, is the end.
func NDJSON(body io.Reader, maxData int64) iter.Seq2[store.Draft, error] {
	return func(yield func(store.Draft, error) bool) {
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, int(maxEntryBytes(maxData)))
		n, reader := 0, newLineReader(maxData)
		for lines.Scan() && lines.Err() == nil { // at an error Scan gives the torn line before it
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
			yield(store.Draft{}, at(n, entryTooLarge(maxData)))
		case err != nil:
			yield(store.Draft{}, err)
		case n == 0:
			yield(store.Draft{}, emptyBatch())
		}
	}
}

// maxEntryBytes bounds what an entry of a batch may have when its data has at most maxData: JSON
// may need six bytes for one of text, and there is the rest of the entry.
func maxEntryBytes(maxData int64) int64 { return 6*maxData + 4*MaxAttributesBytes }

func entryTooLarge(maxData int64) error {
	return &Error{Code: "body-too-large", MaxBytes: maxEntryBytes(maxData),
		Detail: fmt.Sprintf("an entry of a batch has at most %d bytes", maxEntryBytes(maxData))}
}

func tooManyEvents() error {
	return &Error{Code: "batch-too-large",
		Detail: fmt.Sprintf("a batch has at most %d events", maxBatchEvents)}
}

func emptyBatch() error {
	return &Error{Code: "empty-batch", Detail: "a batch has at least one event"}
}

func parseEntry(text []byte, maxData int64) (d store.Draft, err error) {
	object, err := parseObject(text, objectRules{accept: acceptMember})
	if err != nil {
		return d, err
	}
	object.DropNulls()
	if err := checkMembers(object); err != nil {
		return d, err
	}
	if d.Topic, err = object.Text("topic"); err != nil {
		return d, err
	}
	if err := store.ValidateTopic(d.Topic); err != nil {
		return d, &Error{Code: "topic-invalid", Field: "topic", Detail: err.Error()}
	}
	d.Type = store.DefaultType
	if _, ok := object["type"]; ok {
		if d.Type, err = object.Text("type"); err != nil {
			return d, err
		}
		if err := CheckType(d.Type); err != nil {
			return d, err
		}
	}
	if _, ok := object["data_base64"]; ok {
		if d.ContentType, err = object.Text("datacontenttype"); err != nil {
			return d, err
		}
		if d.Data, err = object.data("data_base64", d.ContentType); err != nil {
			return d, err
		}
	} else {
		d.ContentType, d.Data = "application/json", object["data"]
	}
	return d, checkSize(d.Data, maxData)
}

// The members of a line, in its two forms.
var (
	withData   = []string{"topic", "type", "data"}
	withBase64 = []string{"topic", "type", "datacontenttype", "data_base64"}
)

// acceptMember accepts those of both forms.
func acceptMember(name string, _ int) error {
	if !slices.Contains(withBase64, name) && name != "data" {
		return unknownMember(name, withData)
	}
	return nil
}

func unknownMember(name string, allowed []string) error {
	return &Error{Code: "member-invalid", Field: name,
		Detail: fmt.Sprintf("unknown member %.64q beside %q", name, allowed)}
}

// checkMembers holds a line's members against those of its form.
func checkMembers(object Object) error {
	allowed := withData
	if _, ok := object["data_base64"]; ok {
		allowed = withBase64
	}
	for name := range object {
		if !slices.Contains(allowed, name) {
			return unknownMember(name, allowed)
		}
	}
	for _, name := range allowed {
		if _, ok := object[name]; !ok && name != "type" {
			return &Error{Code: "member-invalid", Field: name,
				Detail: fmt.Sprintf("member %q is missing", name)}
		}
	}
	return nil
}
