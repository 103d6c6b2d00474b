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

// MaxJSONLine is the length in bytes at which [AppendJSONEvent] breaks a line of data. Clients
// bound the length of a line: aiohttp at 128 KiB, Go's bufio.Scanner at 64 KiB.
const MaxJSONLine = 32 << 10

// AppendEvent appends one frame, blank line included, and returns the extended slice. It does not
// allocate when dst has room.
//
// No id line is written when id is empty, no event line when event is empty or DefaultType. An id or event that
// contains CR, LF or NUL counts as empty: no argument can add a field or end the frame. Each line of data becomes a
// separate data line, so empty data becomes an empty one.
func AppendEvent(dst []byte, id, event string, data []byte) []byte {
	return append(appendData(appendFields(dst, id, event), data, appendLine), '\n')
}

// AppendJSONEvent is [AppendEvent] for data that is one JSON text. A line longer than MaxJSONLine becomes several,
// broken between tokens, where white space means nothing (RFC 8259 §2); a line that is still longer is a single
// token.
func AppendJSONEvent(dst []byte, id, event string, data []byte) []byte {
	return append(appendData(appendFields(dst, id, event), data, appendJSONLine), '\n')
}

func appendFields(dst []byte, id, event string) []byte {
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
	return dst
}

// AppendRetry begins a frame with the time in milliseconds that the client must wait before it reconnects; an event
// must be appended next, which ends the frame. Many clients hand over a frame that has only this field as an event
// without data, although the standard has them drop it. A negative ms counts as 0.
func AppendRetry(dst []byte, ms int) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, int64(max(ms, 0)), 10)
	return append(dst, '\n')
}

func oneLine(s string) bool {
	return strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 &&
		strings.IndexByte(s, 0) < 0
}

// appendData passes each line of data to appendLine.
func appendData(dst, data []byte, appendLine func(dst, line []byte) []byte) []byte {
	hasCR := bytes.IndexByte(data, '\r') >= 0
	for {
		line, rest, more := cutLine(data, hasCR)
		dst = appendLine(dst, line)
		if !more {
			return dst
		}
		data = rest
	}
}

func appendLine(dst, line []byte) []byte {
	dst = append(dst, "data: "...)
	dst = append(dst, line...)
	return append(dst, '\n')
}

// appendJSONLine appends as many whole tokens as fit on a line, again and again.
func appendJSONLine(dst, line []byte) []byte {
	end := 0 // of a token, before at
	for at := 0; len(line) > MaxJSONLine && at < len(line); {
		c := line[at]
		if c == '"' {
			at += stringEnd(line[at:])
		} else {
			at++
		}
		if at < len(line) && !endsToken(c) {
			continue
		}
		if at > MaxJSONLine && end > 0 {
			dst = appendLine(dst, line[:end])
			line, at = line[end:], at-end
		}
		end = at
	}
	return appendLine(dst, line)
}

// endsToken reports whether a token ends after c, or after the string that c begins. It may miss the end of a number
// or a name, which is the start of another token.
func endsToken(c byte) bool {
	switch c {
	case ',', ':', '[', ']', '{', '}', '"', ' ', '\t':
		return true
	default:
		return false
	}
}

// stringEnd returns the length of the JSON string that text begins with.
func stringEnd(text []byte) int {
	for at := 1; at < len(text); at += 2 { // over the backslash and what it escapes
		next := bytes.IndexAny(text[at:], `"\`)
		if next < 0 {
			break
		}
		if at += next; text[at] == '"' {
			return at + 1
		}
	}
	return len(text)
}

// cutLine cuts data at its first line end: CRLF, LF or CR. Without a CR in data, which is nearly always the case, it
// searches for a single byte.
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
