package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// door is a protocol.
type door struct {
	name    string
	tls, h2 bool
}

var doors = []door{{"HTTP/1.1", false, false}, {"HTTP/1.1 with TLS", true, false},
	{"h2c", false, true}, {"HTTP/2 with TLS", true, true}}

// testCertificate is for the doors with TLS, whose clients do not check it.
var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// watched is the server's end of a connection.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// guest is a client on its own connection, which speaks HTTP by hand, so that it can leave undone what a well-behaved
// client does.
type guest struct {
	t testing.TB
	door
	net.Conn
	pipe   net.Conn      // below TLS
	closed chan struct{} // by the server
	ended  chan struct{} // closed at the end of the response, by a reset or complete; only for a guest that reads
}

// knock connects without sending anything.
func (d door) knock(s *piped) *guest {
	near, server := net.Pipe()
	client := &socket{Conn: near}
	end := &watched{Conn: server, closed: make(chan struct{})}
	accepted := net.Conn(end)
	if d.tls {
		accepted = tls.Server(end, &tls.Config{Certificates: []tls.Certificate{testCertificate()},
			NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true})
	}
	s.pipes.conns <- accepted
	s.t.Cleanup(func() { client.Close() })
	return &guest{s.t, d, client, client, end.closed, make(chan struct{})}
}

// socket is a client's end of a pipe. What it writes after the server has closed is lost, as with a socket, whose
// buffer accepts it: an error would race with the response that was sent before.
type socket struct {
	net.Conn
	closed atomic.Bool // by the client
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) && !s.closed.Load() {
		return len(p), nil
	}
	return n, err
}

func (s *socket) Close() error {
	s.closed.Store(true)
	return s.Conn.Close()
}

// enter connects, with a handshake where the protocol has one.
func (d door) enter(s *piped) *guest {
	s.t.Helper()
	g := d.knock(s)
	if d.tls {
		protocol := "http/1.1"
		if d.h2 {
			protocol = "h2"
		}
		encrypted := tls.Client(g.Conn, &tls.Config{InsecureSkipVerify: true,
			NextProtos: []string{protocol}})
		if err := encrypted.Handshake(); err != nil {
			s.t.Fatal(err)
		}
		g.Conn = encrypted
		if !d.h2 { // in the other cases http.Transport wants to see the type
			g.Conn = abrupt{encrypted, g.pipe}
		}
	}
	return g
}

// abrupt closes without TLS's closing alert. http.Transport holds a lock while it writes that, and the bubble's clock
// stalls while others wait for the lock.
type abrupt struct {
	net.Conn
	pipe net.Conn
}

func (a abrupt) Close() error { return a.pipe.Close() }

// get sends a request without a body. Over HTTP/2 the window is how much of the response the server may send.
func (g *guest) get(path string, window uint32, headers ...string) {
	g.t.Helper()
	lines := append([]string{"GET " + path + " HTTP/1.1", "Host: localhost"}, headers...)
	text := []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
	if g.h2 {
		const initialWindowSize, windowUpdate = 4, 8 // RFC 9113 §6.5.2, §6.9
		text = appendFrame([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frameSettings, 0, 0,
			binary.BigEndian.AppendUint32([]byte{0, initialWindowSize}, window))
		text = appendFrame(text, windowUpdate, 0, 0, []byte{0x40, 0, 0, 0})
		text = appendFrame(text, frameHeaders, endOfHeaders|endOfStream, 1,
			appendRequest(nil, path, headers))
	}
	_, _ = g.Write(text) // the server may close before it has everything
}

// appendRequest appends the header block of a GET (RFC 7541: literals, without Huffman's code).
func appendRequest(dst []byte, path string, headers []string) []byte {
	for _, h := range append([]string{":method: GET", ":scheme: http", ":path: " + path,
		":authority: localhost"}, headers...) {
		i := strings.Index(h[1:], ": ") + 1
		dst = append(dst, 0)
		for _, text := range []string{strings.ToLower(h[:i]), h[i+2:]} {
			if n := uint64(len(text)); n < 127 {
				dst = append(dst, byte(n))
			} else {
				dst = binary.AppendUvarint(append(dst, 127), n-127)
			}
			dst = append(dst, text...)
		}
	}
	return dst
}

// read reads what arrives, without giving the server more window.
func (g *guest) read() {
	if !g.h2 {
		_, _ = io.Copy(io.Discard, g) // until it is closed
		return
	}
	var once sync.Once
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(g, head); err != nil {
			return
		}
		n := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, g, n); err != nil {
			return
		}
		if head[3] == frameReset || head[3] <= frameHeaders && head[4]&endOfStream != 0 {
			once.Do(func() { close(g.ended) })
		}
	}
}

// wantEnd fails unless the server ends the response, or the connection, within this range of time from now.
func (g *guest) wantEnd(after, before time.Duration) {
	g.t.Helper()
	defer g.pipe.Close() // otherwise net/http waits until it has said goodbye
	begin := time.Now()
	select {
	case <-g.closed:
	case <-g.ended:
	case <-time.After(before): // the bubble's clock
		g.t.Fatalf("after %v the answer has not ended", before)
	}
	if took := time.Since(begin); took < after {
		g.t.Errorf("the end after %v, want %v to %v", took, after, before)
	}
}

// sloth is a client that accepts nothing of a response.
type sloth struct {
	door
	starves bool // it reads the connection, but gives no window; HTTP/2 only
}

var sloths = []sloth{{doors[0], false}, {doors[1], false}, {doors[2], false}, {doors[3], false},
	{doors[2], true}, {doors[3], true}}

func (z sloth) String() string {
	if z.starves {
		return z.name + ", no window"
	}
	return z.name
}

// ask sends a request whose response the sloth does not accept.
func (z sloth) ask(s *piped, path string, headers ...string) *guest {
	s.t.Helper()
	g := z.enter(s)
	window := uint32(1<<31 - 1)
	if z.starves {
		window = 0
		go g.read()
	}
	g.get(path, window, headers...)
	return g
}

// client returns a client that does everything right, through this door only.
func (d door) client(s *piped) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!d.h2)
	protocols.SetHTTP2(d.h2 && d.tls)
	protocols.SetUnencryptedHTTP2(d.h2 && !d.tls)
	dial := func(context.Context, string, string) (net.Conn, error) { return d.enter(s).Conn, nil }
	transport := &http.Transport{Protocols: protocols, DialContext: dial, DialTLSContext: dial,
		DisableCompression: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// do sends a request through this door and returns the response; without a status if there was none.
func (d door) do(s *piped, method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	scheme := "http"
	if d.tls {
		scheme = "https"
	}
	r, err := http.NewRequest(method, scheme+"://localhost"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := d.client(s).Do(r)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if (resp.ProtoMajor == 2) != d.h2 {
		s.t.Fatalf("%s, want %s", resp.Proto, d.name)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}
