package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"
)

// DefaultMaxBytes is the size of an event that a Decoder accepts by default.
const DefaultMaxBytes = 16 << 20

// ErrTooLarge: an event or a line of the stream is larger than the decoder's limit.
var ErrTooLarge = errors.New("event stream: event is larger than the limit")

// Event is one event as an EventSource would dispatch it.
type Event struct {
	ID   string // the last event ID in effect, which an earlier event may have set
	Type string // DefaultType when the stream named none
	Data []byte // lines joined by LF; the caller owns it
}

// Decoder reads an event stream by the rules of WHATWG HTML §9.2.6. Bytes that are not UTF-8 are
// passed on as they are. A Decoder belongs to one goroutine.
type Decoder struct {
	r        *bufio.Reader
	maxBytes int
	err      error // final: every later Next returns it

	line    []byte
	started bool // the first line, which may begin with a byte order mark, has been read
	skipLF  bool // the last line ended with CR: an LF that follows belongs to it

	data      []byte // the three buffers of the specification
	eventType string
	id        string

	lastEventID string
	retry       time.Duration
	hasRetry    bool
}

// NewDecoder returns a Decoder of r. maxBytes limits the data of an event plus the line being read;
// 0 means DefaultMaxBytes.
func NewDecoder(r io.Reader, maxBytes int) *Decoder {
	if maxBytes == 0 {
		maxBytes = DefaultMaxBytes
	}
	return &Decoder{r: bufio.NewReader(r), maxBytes: maxBytes}
}

// LastEventID is the ID that a client would reconnect with: the ID in effect after the last complete block, even if
// the block has no data and is thus not an event. An id line whose block is cut off does not count.
func (d *Decoder) LastEventID() string { return d.lastEventID }

// Retry is the time to wait before reconnecting that the stream last asked for; false if it never did. It takes
// effect with its line.
func (d *Decoder) Retry() (time.Duration, bool) { return d.retry, d.hasRetry }

// Next returns the next event. At the end of the stream it returns io.EOF, and drops an incomplete last event; other
// errors are ErrTooLarge and those of the reader. An error is final.
func (d *Decoder) Next() (Event, error) {
	for d.err == nil {
		var line []byte
		if line, d.err = d.readLine(); d.err != nil {
			break
		}
		if len(line) > 0 {
			d.field(line)
		} else if event, ok := d.dispatch(); ok {
			return event, nil
		}
	}
	return Event{}, d.err
}

// dispatch ends a block. It applies the id even when there is nothing to dispatch.
func (d *Decoder) dispatch() (Event, bool) {
	d.lastEventID = d.id
	data, eventType := d.data, d.eventType
	d.data, d.eventType = d.data[:0], ""
	if len(data) == 0 {
		return Event{}, false
	}
	if eventType == "" {
		eventType = DefaultType
	}
	return Event{ID: d.id, Type: eventType, Data: bytes.Clone(data[:len(data)-1])}, true
}

func (d *Decoder) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte{':'}) // a comment has the empty name
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) {
	case "data":
		d.data = append(append(d.data, value...), '\n')
	case "event":
		d.eventType = string(value)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			d.id = string(value)
		}
	case "retry":
		d.setRetry(string(value))
	}
}

// setRetry ignores anything but digits, and, since nobody means it, a time beyond 49 days.
func (d *Decoder) setRetry(value string) {
	if ms, err := strconv.ParseUint(value, 10, 32); err == nil {
		d.retry, d.hasRetry = time.Duration(ms)*time.Millisecond, true
	}
}

// readLine returns the next line without its end, valid until the next call. It returns as soon as the line's end has
// arrived: it never waits for a byte after a CR to see whether that is an LF.
func (d *Decoder) readLine() ([]byte, error) {
	d.line = d.line[:0]
	for {
		if _, err := d.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := d.r.Peek(d.r.Buffered()) // cannot fail: that much is buffered
		if d.skipLF {
			d.skipLF = false
			if chunk[0] == '\n' {
				_, _ = d.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		found := end >= 0
		if found {
			d.skipLF = chunk[end] == '\r'
			chunk = chunk[:end]
		}
		if len(d.data)+len(d.line)+len(chunk) > d.maxBytes {
			return nil, ErrTooLarge
		}
		d.line = append(d.line, chunk...)
		_, _ = d.r.Discard(len(chunk)) // cannot fail either
		if found {
			_, _ = d.r.Discard(1)
			return d.withoutBOM(d.line), nil
		}
	}
}

func (d *Decoder) withoutBOM(line []byte) []byte {
	if d.started {
		return line
	}
	d.started = true
	return bytes.TrimPrefix(line, []byte("\ufeff"))
}
