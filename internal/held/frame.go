package held

import (
	"bytes"
	"strconv"
)

// pieceBytes is about how much of a write must be finished once it has begun: a piece is whole frames of this many
// bytes, or a single larger one. Over HTTP/1.1 it is a chunk.
const pieceBytes = 4 << 10

// blank ends a frame (WHATWG HTML §9.2.6), and occurs nowhere else in one.
const blank = "\n\n"

const lastChunk = "0\r\n\r\n"

// message is one write under construction, cut into pieces.
type message struct {
	chunked bool
	buffers [][]byte
	pieces  []piece
	bytes   int
	body    int    // bytes of frames among them
	text    []byte // of the chunk headers
}

// piece is a part of a message that is written as a whole or not at all.
type piece struct {
	end    int // in the message
	body   int // bytes of frames up to its end
	events bool
}

// reset starts a message.
func (m *message) reset(chunked bool) {
	clear(m.buffers)
	clear(m.pieces)
	*m = message{chunked: chunked, buffers: m.buffers[:0], pieces: m.pieces[:0], text: m.text[:0]}
}

func (m *message) add(b []byte) {
	m.buffers = append(m.buffers, b)
	m.bytes += len(b)
}

// begin starts a piece of n bytes.
func (m *message) begin(n int) {
	if !m.chunked {
		return
	}
	start := len(m.text) // when the buffer moves, slices taken of it stay valid
	m.text = append(strconv.AppendUint(m.text, uint64(n), 16), "\r\n"...)
	m.add(m.text[start:len(m.text):len(m.text)])
}

// end ends a piece of n bytes.
func (m *message) end(n int) {
	m.body += n
	if m.chunked {
		m.add(crlf)
	}
}

var crlf, final = []byte("\r\n"), []byte(lastChunk)

// control adds the frames that come before the events, or without any, as one piece. head goes before the body, and
// last means that the body ends. Each frame is a chunk, because Go's client hands over nothing of a chunk that has
// not arrived completely.
func (m *message) control(head []byte, frames [][]byte, last bool) {
	if len(head) > 0 {
		m.add(head)
	}
	for _, f := range frames {
		m.begin(len(f))
		m.add(f)
		m.end(len(f))
	}
	if last && m.chunked {
		m.add(final)
	}
	if m.bytes > 0 {
		m.pieces = append(m.pieces, piece{m.bytes, m.body, false})
	}
}

// events adds frames of events.
func (m *message) events(frames []byte) {
	for len(frames) > 0 {
		n := len(frames)
		if n > pieceBytes {
			n = cutAt(frames)
		}
		m.begin(n)
		m.add(frames[:n])
		m.end(n)
		m.pieces = append(m.pieces, piece{m.bytes, m.body, true})
		frames = frames[n:]
	}
}

// cutAt returns where the first piece of frames ends.
func cutAt(frames []byte) int {
	if i := bytes.LastIndex(frames[:pieceBytes], []byte(blank)); i >= 0 {
		return i + len(blank)
	}
	from := pieceBytes - len(blank) + 1
	if i := bytes.Index(frames[from:], []byte(blank)); i >= 0 {
		return from + i + len(blank)
	}
	return len(frames)
}

// rest returns what follows when the connection has accepted only the first n bytes: a copy of what must be finished,
// up to the end of the piece that n is in and of the first events; and the number of bytes of frames up to that end.
// What comes after it counts as never written.
func (m *message) rest(n int) (rest []byte, body int) {
	i := 0
	for i < len(m.pieces)-1 && (m.pieces[i].end < n || !m.pieces[i].events) {
		i++
	}
	return m.copy(n, m.pieces[i].end), m.pieces[i].body
}

func (m *message) copy(from, to int) []byte {
	if from >= to {
		return nil
	}
	out, at := make([]byte, 0, to-from), 0
	for _, b := range m.buffers {
		end := at + len(b)
		if end > from && at < to {
			out = append(out, b[max(from-at, 0):min(to-at, len(b))]...)
		}
		at = end
	}
	return out
}
