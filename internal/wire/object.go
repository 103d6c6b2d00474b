package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Object holds the members of a JSON object, undecoded, in their order. Names are case-sensitive. The values may
// point into the text that they were read from.
type Object []Member

// Member is a member of an Object.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Get returns the value of a member, nil if it is missing.
func (o Object) Get(name string) json.RawMessage {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value
		}
	}
	return nil
}

// ParseObject reads one JSON object as SplitObject does, and also refuses lone surrogates (RFC 8259 §8.2) and nesting
// deeper than MaxDepth below the members. It returns an *Error.
func ParseObject(text []byte) (Object, error) {
	return parseObject(text, objectRules{})
}

// DropNulls removes null members, which many serializers mean as absent (CloudEvents JSON format 1.0.2 §2.2 requires
// it), except "data", which may be null.
func (o *Object) DropNulls() {
	*o = slices.DeleteFunc(*o, func(m Member) bool { return m.Name != "data" && string(m.Value) == "null" })
}

// objectRules are what an object is checked against while it is read.
type objectRules struct {
	// accept is called for each member, with its name and, once that is known, the size of its value in bytes; an
	// error stops reading, so that unwanted members are not read. nil: any is accepted.
	accept func(name string, size int) error

	deep bool // values may nest deeper than MaxDepth
}

// parseObject is ParseObject under these rules.
func parseObject(text []byte, rules objectRules) (Object, error) {
	r := &objectReader{dec: newDecoder(bytes.NewBuffer(text)), rules: rules}
	return r.all(text)
}

// objectReader reads objects, one after another. It allocates what it needs once.
type objectReader struct {
	dec   *jsontext.Decoder
	rules objectRules
	names interner
	kept  *keeper // holds the values; nil: they stay where they are, which is not the decoder's buffer

	members Object
	index   map[string]bool // the members' names, once there are many
}

// manyMembers is the number from which an index costs less than a linear search.
const manyMembers = 32

// all reads the object in text, at whose start dec is, and expects nothing after it.
func (r *objectReader) all(text []byte) (Object, error) {
	object, err := r.read()
	if err == nil {
		if err = readEnd(r.dec); err == nil {
			return object, nil
		}
	}
	if _, ok := err.(*Error); ok && !bytes.HasPrefix(text, byteOrderMark) {
		return nil, err
	}
	return nil, explain(text)
}

// read reads the object that dec is at, in one pass. It belongs to the reader until the next call. An error is an
// *Error, or the decoder's.
func (r *objectReader) read() (Object, error) {
	if kind := r.dec.PeekKind(); kind != '{' && kind != invalid {
		return nil, &Error{Code: "json-invalid", Detail: "expected a JSON object"}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	r.members, r.index = r.members[:0], nil
	for r.dec.PeekKind() == '"' {
		if err := r.member(); err != nil {
			return nil, err
		}
	}
	_, err := r.dec.ReadToken() // the closing brace
	return r.members, err
}

// member reads the next member.
func (r *objectReader) member() error {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return err
	}
	name := r.name(raw)
	if r.has(name) {
		return &Error{Code: "member-invalid", Field: name,
			Detail: fmt.Sprintf("member %.64q occurs twice", name)}
	}
	if r.rules.accept != nil {
		if err := r.rules.accept(name, 0); err != nil {
			return err
		}
	}
	raw, err = r.dec.ReadValue()
	switch {
	case err == nil && !r.rules.deep && isDeep(raw), err != nil && isDeep(r.dec.UnreadBuffer()):
		return tooDeep()
	case err == nil && r.rules.accept != nil:
		err = r.rules.accept(name, len(raw))
	}
	if err != nil {
		return err
	}
	if r.kept != nil {
		raw = r.kept.bytes(raw)
	}
	r.members = append(r.members, Member{name, json.RawMessage(raw)})
	return nil
}

// name returns the text of a member's name, which is nearly always the name at the same place in the object before.
func (r *objectReader) name(raw []byte) string {
	text, _ := unquote(raw)
	if n := len(r.members); n < cap(r.members) {
		if before := r.members[:n+1][n].Name; before == string(text) {
			return before
		}
	}
	return r.names.string(text)
}

// has reports whether there is a member with this name.
func (r *objectReader) has(name string) bool {
	if len(r.members) < manyMembers {
		return r.members.Get(name) != nil
	}
	if r.index == nil {
		r.index = make(map[string]bool)
		for _, m := range r.members {
			r.index[m.Name] = true
		}
	}
	twice := r.index[name]
	r.index[name] = true
	return twice
}

// invalid is the kind of invalid JSON, or of what could not be read: reading it returns the reason.
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

// SplitObject reads one JSON object and refuses what readers might understand differently: a name that occurs twice,
// because others may take the other value (RFC 8725 §2.4), and bytes that are not UTF-8, because different texts
// would become the same. It accepts lone surrogates, which ParseObject refuses.
func SplitObject(text []byte) (Object, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true)) // this makes it accept escapes for lone surrogates, too
	r := &objectReader{dec: dec, rules: objectRules{deep: true}}
	object, err := r.read()
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
	text, err := o.text(name)
	return string(text), err
}

// text is Text, in bytes that may belong to the object.
func (o Object) text(name string) ([]byte, error) {
	raw := o.Get(name)
	if raw == nil {
		return nil, nil
	}
	text, ok := unquote(raw)
	if !ok {
		return nil, &Error{Code: "member-invalid", Field: name,
			Detail: fmt.Sprintf("member %q is a string", name)}
	}
	return text, nil
}

// unquote returns the text of a valid value if it is a string; half a surrogate pair becomes U+FFFD.
func unquote(raw []byte) (text []byte, ok bool) {
	switch {
	case raw[0] != '"':
		return nil, false
	case bytes.IndexByte(raw, '\\') < 0:
		return raw[1 : len(raw)-1], true
	default:
		text, _ = jsontext.AppendUnquote(nil, raw)
		return text, true
	}
}

// data returns the bytes of a base64 member, which must match their content type.
func (o Object) data(name, contentType string) ([]byte, error) {
	text, err := o.text(name)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
	if err != nil {
		return nil, &Error{Code: "member-invalid", Field: name,
			Detail: fmt.Sprintf("member %q is base64 (RFC 4648 §4): %v", name, err)}
	}
	return data, checkContent(contentType, data)
}
