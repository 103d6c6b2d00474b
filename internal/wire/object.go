package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Object holds the members of a JSON object, undecoded. Names are told apart by case.
type Object map[string]json.RawMessage

// ParseObject reads one JSON object as SplitObject does, and refuses lone surrogates as well (RFC
// 8259 §8.2). It returns an *Error.
func ParseObject(text []byte) (Object, error) {
	if err := checkJSON(text); err != nil {
		return nil, err
	}
	object, err := SplitObject(text)
	var twice *duplicateNameError
	switch {
	case errors.As(err, &twice):
		return nil, &Error{Code: "member-invalid", Field: twice.Name,
			Detail: fmt.Sprintf("member %.64q is there twice", twice.Name)}
	case err != nil: // it is JSON, so it is another kind of value
		return nil, &Error{Code: "json-invalid", Detail: "expected a JSON object"}
	}
	return object, nil
}

// duplicateNameError is what SplitObject returns for a name that occurs twice.
type duplicateNameError struct{ Name string }

// Error implements error.
func (e *duplicateNameError) Error() string { return fmt.Sprintf("%.64q occurs twice", e.Name) }

// SplitObject reads one JSON object and refuses what readers might understand in different ways: a
// name that occurs twice, because others may take the other value (RFC 8725 §2.4), and bytes that
// are not UTF-8, because different texts would become the same. Lone surrogates pass, which
// ParseObject refuses.
func SplitObject(text []byte) (Object, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	object := make(Object)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("not a JSON object")
		}
		if _, twice := object[name]; twice {
			return nil, &duplicateNameError{name}
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		object[name] = value
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than a JSON object")
	}
	return object, nil
}

// Text returns a member that must be a string, "" if it is missing. It returns an *Error.
func (o Object) Text(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", &Error{Code: "member-invalid", Field: name,
			Detail: fmt.Sprintf("member %q is a string", name)}
	}
	return *s, nil
}

// data returns the bytes of a member in base64, which must be what their content type says.
func (o Object) data(name, contentType string) ([]byte, error) {
	text, err := o.Text(name)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, &Error{Code: "member-invalid", Field: name,
			Detail: fmt.Sprintf("member %q is base64 (RFC 4648 §4): %v", name, err)}
	}
	return data, checkContent(contentType, data)
}
