// Package sse writes and reads event streams (WHATWG HTML §9.2, "Server-sent events"). The server
// encodes with [AppendEvent], clients and tests decode with [Decoder], so both sides of the
// contract are checked against each other: whatever is appended decodes to exactly one event, with
// CR and CRLF in its data turned into LF.
package sse

import (
	"bytes"
	"strconv"
	"strings"
)

// DefaultType is the type of an event that names none (WHATWG HTML §9.2.6).
const DefaultType = "message"

// AppendEvent appends one frame, blank line included, and returns the extended slice. It does not
// allocate when dst has room.
//
// No id line is written when id is empty, no event line when event is empty or DefaultType. An id
// or event that holds CR, LF or NUL counts as empty: no argument can add a field or end the frame.
// Each line of data becomes a data line of its own, so empty data becomes an empty one.
func AppendEvent(dst []byte, id, event string, data []byte) []byte {
	if id != "" && oneLine(id) {
		dst = append(dst, "id: "...)
		dst = append(dst, id...)
		dst = append(dst, '\n')
	}
	if event != "" && event != DefaultType && oneLine(event) {
		dst = append(dst, "event: "...)
		dst = append(dst, event...)
		dst = append(dst, '\n')
	}
	return append(appendData(dst, data), '\n')
}

// AppendRetry appends a frame that only tells the client to wait ms milliseconds before it
// reconnects. A negative ms counts as 0.
func AppendRetry(dst []byte, ms int) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, int64(max(ms, 0)), 10)
	return append(dst, "\n\n"...)
}

func oneLine(s string) bool {
	return strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 &&
		strings.IndexByte(s, 0) < 0
}

func appendData(dst, data []byte) []byte {
	hasCR := bytes.IndexByte(data, '\r') >= 0
	for {
		line, rest, more := cutLine(data, hasCR)
		dst = append(dst, "data: "...)
		dst = append(dst, line...)
		dst = append(dst, '\n')
		if !more {
			return dst
		}
		data = rest
	}
}

// cutLine cuts data at its first line end: CRLF, LF or CR. Without a CR in data, which is nearly
// always so, the search is one for a single byte.
func cutLine(data []byte, hasCR bool) (line, rest []byte, found bool) {
	if !hasCR {
		return bytes.Cut(data, []byte{'\n'})
	}
	end := bytes.IndexAny(data, "\r\n")
	if end < 0 {
		return data, nil, false
	}
	line, rest = data[:end], data[end+1:]
	if data[end] == '\r' {
		rest = bytes.TrimPrefix(rest, []byte{'\n'})
	}
	return line, rest, true
}
