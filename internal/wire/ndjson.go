package wire

import (
	"bytes"
	"fmt"
	"slices"

	"tidings/store"
)

// maxBatchEvents is how many events a batch has at most.
const maxBatchEvents = 1000

// ParseNDJSON reads one event a line: {"topic","type"?,"data"} or
// {"topic","type"?,"datacontenttype","data_base64"}. Empty lines are no events. The data of each
// has at most maxData bytes. It returns an *Error.
func ParseNDJSON(body []byte, maxData int64) ([]store.Draft, error) {
	var drafts []store.Draft
	for text := range bytes.Lines(body) {
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		d, err := parseEntry(text, maxData)
		if err == nil && len(drafts) == maxBatchEvents {
			err = tooManyEvents()
		}
		if err != nil {
			return nil, at(len(drafts), err)
		}
		drafts = append(drafts, d)
	}
	if len(drafts) == 0 {
		return nil, emptyBatch()
	}
	return drafts, nil
}

func tooManyEvents() error {
	return &Error{Code: "batch-too-large",
		Detail: fmt.Sprintf("a batch has at most %d events", maxBatchEvents)}
}

func emptyBatch() error {
	return &Error{Code: "empty-batch", Detail: "a batch has at least one event"}
}

func parseEntry(text []byte, maxData int64) (d store.Draft, err error) {
	object, err := ParseObject(text)
	if err != nil {
		return d, err
	}
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

// checkMembers holds a line's members against those of its form.
func checkMembers(object Object) error {
	allowed := []string{"topic", "type", "data"}
	if _, ok := object["data_base64"]; ok {
		allowed = []string{"topic", "type", "datacontenttype", "data_base64"}
	}
	for name := range object {
		if !slices.Contains(allowed, name) {
			return &Error{Code: "member-invalid", Field: name,
				Detail: fmt.Sprintf("unknown member %.64q beside %q", name, allowed)}
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
