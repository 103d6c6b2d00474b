package api_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/internal/sse"
)

// h2c is a client that speaks HTTP/2 without TLS and nothing else.
func h2c(t *testing.T) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// TestH2C: behind a proxy that speaks HTTP/2, all its streams use one connection.
func TestH2C(t *testing.T) {
	s := start(t)
	transport := h2c(t)
	var streams []*stream
	for range 20 { // a browser has six connections with HTTP/1.1
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Proto, resp.Status)
		}
		st := &stream{t, resp, sse.NewDecoder(resp.Body, 0)}
		st.until("tidings.live")
		streams = append(streams, st)
	}
	id := s.publish("a", "1")
	for _, st := range streams {
		if e := st.next(); e.ID != id {
			t.Errorf("got %+v, want the event %s", e, id)
		}
	}
	s.api.Drain()
	for _, st := range streams {
		st.until("tidings.bye")
	}
}

// HTTP/2 frames (RFC 9113 §6).
const (
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameGoAway       = 7
	frameContinuation = 9
	endOfHeaders      = 4
	endOfStream       = 1
)

func appendFrame(dst []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	dst = append(dst, byte(len(payload)>>16), byte(len(payload)>>8),
		byte(len(payload)), kind, flags)
	return append(binary.BigEndian.AppendUint32(dst, stream), payload...)
}

// attack sends chunks, created for i = 0, 1, 2 and so on, on a new HTTP/2 connection until the server has had enough
// or all are sent, and reports whether the server sent GOAWAY or closed.
func attack(t *testing.T, s *server, times int, chunk func(dst []byte, i int) []byte) (ended bool) {
	t.Helper()
	conn := s.connect()
	defer conn.Close()
	goAway := make(chan bool, 1)
	pong := make(chan struct{})
	go func() {
		defer close(goAway)
		head := make([]byte, 9)
		for {
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			length := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
			if _, err := io.CopyN(io.Discard, conn, length); err != nil {
				return
			}
			switch {
			case head[3] == frameGoAway:
				goAway <- true
				return
			case head[3] == framePing && head[4] == 1:
				close(pong)
			}
		}
	}()
	out := appendFrame([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frameSettings, 0, 0, nil)
	for i := range times {
		out = chunk(out, i)
		if len(out) < 64<<10 && i < times-1 {
			continue
		}
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(out); err != nil {
			var closed net.Error
			if errors.As(err, &closed) && closed.Timeout() {
				t.Fatal("the server neither takes nor closes")
			}
			return true
		}
		out = out[:0]
	}
	if _, err := conn.Write(appendFrame(nil, framePing, 0, 0, make([]byte, 8))); err != nil {
		return true
	}
	select {
	case <-goAway: // sent, or closed without it
		return true
	case <-pong:
		return false
	}
}

// TestHTTP2Attacks is row 28 of docs/ERRORS.md: what has brought servers down ends the connection, or passes;
// publishing continues.
func TestHTTP2Attacks(t *testing.T) {
	times := 100_000
	if testing.Short() {
		times = 10_000
	}
	// :method GET, :scheme http, :path /healthz, :authority localhost (RFC 7541: indexed, then
	// literals).
	request := append([]byte{0x82, 0x86, 0x04, 8}, "/healthz"...)
	request = append(append(request, 0x01, 9), "localhost"...)
	odd := func(i int) uint32 { return uint32(2*i + 1) }
	for _, c := range []struct {
		name  string
		chunk func(dst []byte, i int) []byte
		ended bool
	}{
		{"row 28: HEADERS and RST_STREAM", func(dst []byte, i int) []byte {
			dst = appendFrame(dst, frameHeaders, endOfHeaders|endOfStream, odd(i), request)
			return appendFrame(dst, frameReset, 0, odd(i), []byte{0, 0, 0, 8})
		}, false},
		{"row 28: CONTINUATION without end", func(dst []byte, i int) []byte {
			if i == 0 {
				return appendFrame(dst, frameHeaders, 0, 1, request)
			}
			return appendFrame(dst, frameContinuation, 0, 1,
				append([]byte{0x00, 1, 'x', 100}, strings.Repeat("y", 100)...))
		}, true},
		{"row 28: frames of unknown types", func(dst []byte, i int) []byte {
			return appendFrame(dst, byte(0x0a+i%6), 0, 0, []byte("unknown"))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			if ended := attack(t, s, times, c.chunk); c.ended && !ended {
				t.Error("the connection lives on")
			}
			if id := s.publish("a", "1"); id == "" {
				t.Error("nothing can be published")
			}
		})
	}
}
