// Package wire turns bytes from outside into drafts and events, and events into the bytes of responses, streams and
// export files. It knows no requests, callers or status codes:
//
//	for draft, err := range wire.NDJSON(body, maxData) { ... } // or CloudEvents
//	line, err = wire.AppendLine(line[:0], &event)       // and back: wire.ParseLine(line)
//	frame = wire.AppendDataFrame(frame[:0], &event)     // or AppendCloudEventFrame
//
// What it guarantees:
//
//   - Data is never changed: a draft holds the bytes that were published, and AppendLine and
//     ParseLine are each other's inverse.
//   - Every format can carry what a parser accepts: JSON is JSON and UTF-8 throughout, text is
//     UTF-8 without NUL, a type has no line end and is not one of a stream's own.
//   - JSON objects are read strictly: an unknown member, or a name that occurs twice, is an error.
//   - A batch is read as it arrives, in one pass, and no further than its first error: its size
//     alone costs nothing. JSON nests at most MaxDepth levels.
//   - A parser refuses bytes with an [*Error], whose text their sender may see. Only ParseLine,
//     whose lines come from the operator, may return another error, and accepts the type
//     store.TypeEnd.
//   - What a parser returns shares no memory with the bytes it was parsed from. Only
//     BinaryCloudEvent keeps the body it is given.
//
// All functions may be called concurrently.
package wire

// Error is why bytes were refused.
type Error struct {
	Code     string // of the problem that the sender gets, such as "json-invalid"
	Detail   string // for people
	Field    string // the offending member, attribute or header
	Index    *int   // of the offending entry of a batch, counted from 0
	Offset   int64  // of the offending byte, 0 if unknown
	MaxBytes int64  // the limit that was exceeded, 0 if none
}

// Error implements error.
func (e *Error) Error() string { return e.Detail }

// at names the entry of a batch that err is about.
func at(index int, err error) error {
	if e, ok := err.(*Error); ok {
		e.Index = &index
	}
	return err
}
