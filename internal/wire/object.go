package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Object holds the members of a JSON object, undecoded. Names are told apart by case.
type Object map[string]json.RawMessage

// ParseObject reads one JSON object as SplitObject does, and refuses lone surrogates as well (RFC
// 8259 §8.2), and nesting deeper than MaxDepth below the members. It returns an *Error.
func ParseObject(text []byte) (Object, error) {
	return parseObject(text, objectRules{})
}

// DropNulls takes what is null for absent, as many serializers mean it (CloudEvents JSON format 1.0.2
// §2.2 wants it), but for "data", which may be null.
func (o Object) DropNulls() {
	for name, value := range o {
		if name != "data" && string(value) == "null" {
			delete(o, name)
		}
	}
}

// objectRules are what an object is held against while it is read.
type objectRules struct {
	// accept is asked about each member, by its name and, once that is known, the bytes of its
	// value; its error is the end, so that what nobody asked for is not read. nil: any will do.
	accept func(name string, size int) error

	deep bool // values may nest deeper than MaxDepth
}

// parseObject is ParseObject under these rules.
func parseObject(text []byte, rules objectRules) (Object, error) {
	dec := newDecoder(bytes.NewBuffer(text))
	object, err := readObject(dec, rules)
	if err == nil {
		if err = readEnd(dec); err == nil {
			return object, nil
		}
	}
	if _, ok := err.(*Error); ok && !bytes.HasPrefix(text, byteOrderMark) {
		return nil, err
	}
	return nil, explain(text)
}

// readObject reads the object that dec is at, in one pass. An error is an *Error, or the decoder's.
func readObject(dec *jsontext.Decoder, rules objectRules) (Object, error) {
	if kind := dec.PeekKind(); kind != '{' && kind != invalid {
		return nil, &Error{Code: "json-invalid", Detail: "expected a JSON object"}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	object := make(Object)
	for dec.PeekKind() == '"' {
		name, value, err := readMember(dec, object, rules)
		if err != nil {
			return nil, err
		}
		object[name] = value
	}
	_, err := dec.ReadToken() // the closing brace
	return object, err
}

// readMember reads the next member of an object that has those before it.
func readMember(dec *jsontext.Decoder, object Object,
	rules objectRules) (name string, value json.RawMessage, err error) {
	token, err := dec.ReadToken()
	if err != nil {
		return "", nil, err
	}
	name = token.String()
	if _, twice := object[name]; twice {
		return "", nil, &Error{Code: "member-invalid", Field: name,
			Detail: fmt.Sprintf("member %.64q occurs twice", name)}
	}
	if rules.accept != nil {
		if err := rules.accept(name, 0); err != nil {
			return "", nil, err
		}
	}
	raw, err := dec.ReadValue()
	switch {
	case err == nil && !rules.deep && isDeep(raw), err != nil && isDeep(dec.UnreadBuffer()):
		return "", nil, tooDeep()
	case err == nil && rules.accept != nil:
		err = rules.accept(name, len(raw))
	}
	return name, json.RawMessage(bytes.Clone(raw)), err
}

// invalid is the kind of what is no JSON, or could not be read: reading it tells why.
const invalid jsontext.Kind = 0

// readEnd expects that nothing follows.
func readEnd(dec *jsontext.Decoder) error {
	switch _, err := dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		return &Error{Code: "json-invalid", Offset: dec.InputOffset(),
			Detail: "something follows the JSON text"}
	}
}

// SplitObject reads one JSON object and refuses what readers might understand in different ways: a
// name that occurs twice, because others may take the other value (RFC 8725 §2.4), and bytes that
// are not UTF-8, because different texts would become the same. Lone surrogates pass, which
// ParseObject refuses.
func SplitObject(text []byte) (Object, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true)) // it would take escapes for that too
	object, err := readObject(dec, objectRules{deep: true})
	if errors.Is(err, io.EOF) {
		return nil, errors.New("not a JSON object")
	}
	if err != nil {
		return nil, err
	}
	return object, readEnd(dec)
}

// Text returns a member that must be a string, "" if it is missing. It returns an *Error.
func (o Object) Text(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", nil
	}
	s, ok := unquote(raw)
	if !ok {
		return "", &Error{Code: "member-invalid", Field: name,
			Detail: fmt.Sprintf("member %q is a string", name)}
	}
	return s, nil
}

// unquote returns the text of a value that is a string.
func unquote(raw json.RawMessage) (s string, ok bool) {
	if raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	return s, json.Unmarshal(raw, &s) == nil
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
