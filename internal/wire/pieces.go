package wire

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"tidings/store"
)

// textPiece is how much text is escaped at a time: it may become six times as long.
const textPiece = 8 << 10

// BodyWriter writes events as responses show them, in pieces: data as JSON, which may be six times as long, is never
// in memory as a whole. It belongs to one goroutine.
type BodyWriter struct {
	w   *bufio.Writer
	buf []byte
}

var bodyWriters = sync.Pool{New: func() any {
	return &BodyWriter{w: bufio.NewWriterSize(nil, 32<<10)}
}}

// NewBodyWriter returns a BodyWriter to w. Close it.
func NewBodyWriter(w io.Writer) *BodyWriter {
	b := bodyWriters.Get().(*BodyWriter)
	b.w.Reset(w)
	return b
}

// Raw writes bytes as they are, for example a separator between two events.
func (b *BodyWriter) Raw(p []byte) { _, _ = b.w.Write(p) }

// Close writes what is left, and returns the first error of the underlying writer. The BodyWriter must not be used
// any more.
func (b *BodyWriter) Close() error {
	err := b.w.Flush()
	b.w.Reset(nil)
	bodyWriters.Put(b)
	return err
}

// Event writes an event.
func (b *BodyWriter) Event(e *store.Event) {
	head := headOf(e)
	text := Marshal(head)
	b.Raw(text[:len(text)-1])
	switch kind := formOf(e); kind {
	case noData:
		b.Raw([]byte(`,"data":null`))
	case base64Data:
		b.Raw([]byte(`,"data_base64":"`))
		enc := base64.NewEncoder(base64.StdEncoding, b.w)
		_, _ = enc.Write(e.Data) // w keeps the error
		_ = enc.Close()
		b.Raw([]byte(`"`))
	default:
		b.Raw([]byte(`,"data":`))
		b.data(kind, e.Data)
	}
	if len(e.Attributes) > 0 {
		b.Raw([]byte(`,"ce":`))
		b.Raw(Marshal(attributesOf(e)))
	}
	b.Raw([]byte("}"))
}

// data writes data that is a JSON value or a text.
func (b *BodyWriter) data(form dataForm, data []byte) {
	if form == jsonData {
		compactRuns(data, b.Raw)
		return
	}
	b.Raw([]byte(`"`))
	quotedPieces(data, func(piece []byte) {
		b.buf = appendQuoted(b.buf[:0], piece)
		b.Raw(b.buf)
	})
	b.Raw([]byte(`"`))
}

// dataForm is how the data of an event is represented in JSON.
type dataForm int

const (
	noData     dataForm = iota
	jsonData            // as it is
	textData            // as a string
	base64Data          // as a string of base64
)

func formOf(e *store.Event) dataForm {
	switch kind := mediaOf(e.ContentType); {
	case len(e.Data) == 0 && kind != textMedia:
		return noData
	case kind == jsonMedia && !isDeep(e.Data):
		return jsonData
	case kind == textMedia:
		return textData
	default:
		return base64Data
	}
}

// quotedPieces yields text in pieces that end at a character boundary.
func quotedPieces(text []byte, yield func(piece []byte)) {
	for len(text) > textPiece {
		end := textPiece
		for end > textPiece-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		yield(text[:end])
		text = text[end:]
	}
	yield(text)
}

// appendQuoted appends the contents of a JSON string for text, without the quotes.
func appendQuoted(dst, text []byte) []byte {
	start := len(dst)
	dst, _ = jsontext.AppendQuote(dst, text) // what is not UTF-8 becomes U+FFFD
	copy(dst[start:], dst[start+1:])
	return dst[:len(dst)-2]
}

// quotedSize returns the size of a text as a JSON string.
func quotedSize(text []byte) int {
	size := len(text) + 2
	for _, c := range text {
		switch {
		case c < ' ':
			size += 5
		case c == '"' || c == '\\':
			size++
		}
	}
	return size
}

// appendText appends a text as a JSON string, and grows dst by no more than needed.
func appendText(dst, text []byte) []byte {
	dst = append(slices.Grow(dst, quotedSize(text)), '"')
	quotedPieces(text, func(piece []byte) { dst = appendQuoted(dst, piece) })
	return append(dst, '"')
}

// compactRuns yields the parts of a JSON text between its white space.
func compactRuns(text []byte, yield func(run []byte)) {
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			if start < i {
				yield(text[start:i])
			}
			start = i + 1
		}
	}
	if start < len(text) {
		yield(text[start:])
	}
}

// attributesOf returns the attributes that an event was published with.
func attributesOf(e *store.Event) map[string]json.RawMessage {
	attributes := make(map[string]json.RawMessage, len(e.Attributes)+6)
	for _, a := range e.Attributes {
		attributes[a.Name] = json.RawMessage(a.Value)
	}
	return attributes
}
