package wire

import (
	"bytes"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"tidings/store"
)

// lineReader reads the lines of one batch. What it needs for that it makes once, and what the events
// need they share.
type lineReader struct {
	text    bytes.Buffer
	dec     *jsontext.Decoder
	maxData int64
	names   interner
	kept    keeper
}

func newLineReader(maxData int64) *lineReader {
	r := &lineReader{maxData: maxData}
	r.dec = newDecoder(&r.text)
	return r
}

// read reads a line.
func (r *lineReader) read(line []byte) (store.Draft, error) {
	if d, ok := r.plain(line); ok {
		d.Data = r.kept.bytes(d.Data)
		return d, nil
	}
	return parseEntry(line, r.maxData)
}

// plain reads a line that has nothing but a topic, a type and data, and no escapes in the first two:
// nearly all are so. False means that parseEntry is to say what the line is. The data points into it.
func (r *lineReader) plain(line []byte) (d store.Draft, ok bool) {
	r.text = *bytes.NewBuffer(line)
	r.dec.Reset(&r.text, anyNames)
	if start, err := r.dec.ReadToken(); err != nil || start.Kind() != '{' {
		return d, false
	}
	for r.dec.PeekKind() == '"' {
		if !r.member(&d) {
			return d, false
		}
	}
	if _, err := r.dec.ReadToken(); err != nil { // the closing brace
		return d, false
	}
	if _, err := r.dec.ReadToken(); err != io.EOF {
		return d, false
	}
	if d.Type == "" {
		d.Type = store.DefaultType
	}
	d.ContentType = "application/json"
	return d, d.Data != nil && int64(len(d.Data)) <= r.maxData &&
		store.ValidateTopic(d.Topic) == nil && CheckType(d.Type) == nil
}

// member reads the next member, which d does not have yet.
func (r *lineReader) member(d *store.Draft) bool {
	name, err := r.dec.ReadValue()
	if err != nil {
		return false
	}
	var text *string // nil: the data
	switch string(name) {
	case `"topic"`:
		text = &d.Topic
	case `"type"`:
		text = &d.Type
	case `"data"`:
	default:
		return false
	}
	value, err := r.dec.ReadValue()
	switch {
	case err != nil:
		return false
	case text == nil:
		twice := d.Data != nil
		d.Data = value
		return !twice && !isDeep(value)
	case *text != "" || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0:
		return false
	default:
		*text = r.names.string(value[1 : len(value)-1])
		return *text != ""
	}
}

// interner makes each of the strings that come again once.
type interner struct {
	last string // nearly always it is this one
	all  map[string]string
}

func (n *interner) string(b []byte) string {
	if n.last == string(b) {
		return n.last
	}
	s, ok := n.all[string(b)]
	if !ok {
		if n.all == nil {
			n.all = make(map[string]string)
		}
		s = string(b)
		n.all[s] = s
	}
	n.last = s
	return s
}

// keeper copies bytes into chunks that many of them share.
type keeper struct{ chunk []byte }

const keeperChunk = 64 << 10

func (k *keeper) bytes(b []byte) []byte {
	if len(b) > keeperChunk/4 {
		return bytes.Clone(b)
	}
	if len(b) > cap(k.chunk)-len(k.chunk) {
		k.chunk = make([]byte, 0, min(keeperChunk, max(1<<10, 2*cap(k.chunk), 2*len(b))))
	}
	start := len(k.chunk)
	k.chunk = append(k.chunk, b...)
	return k.chunk[start:len(k.chunk):len(k.chunk)]
}
