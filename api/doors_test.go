package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/auth"
	"tidings/store"
)

// Each limit and each deadline holds at every door: by whichever protocol a client comes in.

// door is a protocol.
type door struct {
	name    string
	tls, h2 bool
}

var doors = []door{{"HTTP/1.1", false, false}, {"HTTP/1.1 with TLS", true, false},
	{"h2c", false, true}, {"HTTP/2 with TLS", true, true}}

// testCertificate is for the doors with TLS, whose clients do not look at it.
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

// guest is a client on a connection of its own, which speaks HTTP by hand, so that it can leave
// undone what a good one does.
type guest struct {
	t testing.TB
	door
	net.Conn
	pipe   net.Conn      // below TLS
	closed chan struct{} // by the server
	ended  chan struct{} // the answer, by a reset or whole; only of a guest that reads
}

// knock connects without a word.
func (d door) knock(s *piped) *guest {
	client, server := net.Pipe()
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

// enter connects, and shakes hands where it is the custom.
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
		if !d.h2 { // of the others http.Transport wants to see what they are
			g.Conn = abrupt{encrypted, g.pipe}
		}
	}
	return g
}

// abrupt closes without TLS's closing alert. http.Transport holds a lock while it writes that, and the
// bubble's clock stands still while others wait for the lock.
type abrupt struct {
	net.Conn
	pipe net.Conn
}

func (a abrupt) Close() error { return a.pipe.Close() }

// get sends a request without a body. Over HTTP/2 the window is what the server may send of the
// answer.
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
	_, _ = g.Write(text) // the server may have had enough before it has all
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

// read takes what comes, without giving the server more of a window.
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

// wantEnd fails unless the server ends the answer, or the connection, in this time from now.
func (g *guest) wantEnd(after, before time.Duration) {
	g.t.Helper()
	defer g.pipe.Close() // else net/http waits until it has said goodbye
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

// sloth is a client that takes nothing of an answer.
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

// ask sends a request whose answer the sloth does not take.
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

// answers are requests for more than any buffer holds; the last value is headers.
var answers = [][]string{{"/v1/stream?since=earliest"}, {"/v1/events?since=earliest"},
	{"/v1/events?since=earliest", "Accept: application/x-ndjson"},
	{"/v1/events?since=earliest", "Accept-Encoding: gzip"}, {"/v1/backup"}, {"/openapi.yaml"},
	{"/healthz"}}

func fill(t *testing.T, s *piped) {
	for range 8 {
		data := make([]byte, 100<<10)
		if _, err := rand.Read(data); err != nil { // so that it cannot be compressed
			t.Fatal(err)
		}
		appendData(t, s.log, "big", data)
	}
}

// TestDoorsStall: who takes nothing is cut off after the stall time-out.
func TestDoorsStall(t *testing.T) {
	for _, z := range sloths {
		for _, a := range answers {
			t.Run("row 160: "+z.String()+" "+strings.Join(a, " "), func(t *testing.T) {
				bubble(t, api.Options{StallTimeout: 10 * time.Second},
					func(t *testing.T, s *piped) {
						fill(t, s)
						// net/http gives TLS 5 s for its last words
						z.ask(s, a[0], a[1:]...).wantEnd(10*time.Second, 16*time.Second)
					})
			})
		}
	}
}

// TestDoorsCut: who takes nothing when its answer is cut off does not keep it for longer than two
// seconds, however far the stall time-out is.
func TestDoorsCut(t *testing.T) {
	const stream, page, backup = "/v1/stream?since=earliest", "/v1/events?since=earliest",
		"/v1/backup"
	drain := func(_ *testing.T, s *piped) { s.api.Drain() }
	for _, c := range []struct {
		name, path string
		lifetime   time.Duration
		token      time.Duration            // 0: without one
		cut        func(*testing.T, *piped) // nil: it comes by itself, after 10 s
	}{
		{"disconnected", stream, 0, 0, disconnectAll},
		{"shutdown", stream, 0, 0, drain},
		{"shutdown", page, 0, 0, drain},
		{"shutdown", backup, 0, 0, drain},
		{"lifetime", stream, 10 * time.Second, 0, nil},
		{"token", stream, 0, 10 * time.Second, nil},
		{"token", page, 0, 10 * time.Second, nil},
	} {
		for _, z := range sloths {
			t.Run("row 161: "+z.String()+" "+c.name+" "+c.path, func(t *testing.T) {
				options := func(t *testing.T) api.Options {
					o := api.Options{StallTimeout: time.Hour, MaxLifetime: c.lifetime}
					if c.token > 0 {
						o = keyed(t, o)
					}
					return o
				}
				bubbleOf(t, options, func(t *testing.T, s *piped) {
					fill(t, s)
					var header []string
					if c.token > 0 {
						header = headers(bearer(holder{subscribe: ">", expires: c.token}.token(t)))
					}
					g := z.ask(s, c.path, header...)
					time.Sleep(8 * time.Second) // the bubble's clock
					select {
					case <-g.closed:
						t.Fatal("it has ended before it was cut off")
					default:
					}
					late := 2 * time.Second // after the end
					if c.cut == nil {
						late += 3*time.Second + auth.Leeway
					} else {
						c.cut(t, s)
					}
					g.wantEnd(0, late)
				})
			})
		}
	}
}

// disconnectAll is what an administrator does about streams.
func disconnectAll(t *testing.T, s *piped) {
	_, r := s.get("/v1/subscribers")
	var l subscriberList
	readJSON(t, r, &l)
	if len(l.Subscribers) != 1 || l.Subscribers[0].State != "stalled" {
		t.Errorf("%+v, want one that has stalled", l)
	}
	for _, x := range l.Subscribers {
		if a := s.do("DELETE /v1/subscribers/"+x.ID, ""); a.status != 204 {
			t.Errorf("cut: %d %s", a.status, a.body)
		}
	}
}

// client returns a client that does everything right, by this door alone.
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

// do sends a request by this door and returns the answer; without a status when there was none.
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

// drip is a body that comes byte by byte, one a second, without an end.
type drip struct{ end <-chan struct{} }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-d.end:
		return 0, io.ErrUnexpectedEOF
	case <-time.After(time.Second): // the bubble's clock
		p[0] = ' '
		return 1, nil
	}
}

// TestDoorsBody: a body that does not come to its end is waited for until the body time-out, or
// until its token ends.
func TestDoorsBody(t *testing.T) {
	for _, path := range list("/v1/topics/a/events /v1/events /v1/cursors/a") {
		for _, d := range doors {
			for row, o := range map[string]api.Options{
				"row 7: body-timeout":    {BodyTimeout: 10 * time.Second},
				"row 163: token-invalid": {BodyTimeout: time.Minute},
			} {
				t.Run(row+" "+d.name+" "+path, func(t *testing.T) {
					options := func(t *testing.T) api.Options { return keyed(t, o) }
					bubbleOf(t, options, func(t *testing.T, s *piped) {
						token := holder{subject: "me", publish: ">", subscribe: ">",
							expires: 20*time.Second - auth.Leeway}.token(t)
						method, kind := "POST", "application/json"
						switch path {
						case "/v1/events":
							kind = "application/x-ndjson"
						case "/v1/cursors/a":
							method = "PUT"
						}
						end, begin := make(chan struct{}), time.Now()
						defer close(end)
						a := d.do(s, method, path, drip{end}, bearer(token),
							"Content-Type: "+kind, "Idempotency-Key: k")
						want := 10 * time.Second
						_, code, _ := strings.Cut(row, ": ")
						if code == "token-invalid" {
							want = 20 * time.Second
						}
						waited := time.Since(begin)
						if p := a.problem(t); p.Code != code || waited < want-time.Second ||
							waited > want+2*time.Second {
							t.Errorf("%s after %v, want %s after %v", a.body, waited, code, want)
						}
					})
				})
			}
		}
	}
}

// TestDoorsLimits: sizes and counts.
func TestDoorsLimits(t *testing.T) {
	zeros := func(n int64) io.Reader { return io.LimitReader(endless{}, n) }
	for _, c := range []struct {
		name, method, path string
		body               int64
		header             string
		status             int
		code               string
	}{
		{"data", "POST", "/v1/topics/a/events", 65, "Content-Type: text/plain", 413,
			"body-too-large"},
		{"batch", "POST", "/v1/events", 17 << 20, "Content-Type: application/x-ndjson", 413,
			"body-too-large"},
		{"a second stream", "GET", "/v1/stream", 0, "A: b", 200, "overloaded"},
	} {
		for _, d := range doors {
			t.Run(d.name+" "+c.name, func(t *testing.T) {
				bubble(t, api.Options{MaxEventBytes: 64, MaxStreams: 1},
					func(t *testing.T, s *piped) {
						s.stream("/v1/stream").until("tidings.live")
						a := d.do(s, c.method, c.path, zeros(c.body), c.header)
						if a.status != c.status || !strings.Contains(a.body, c.code) {
							t.Errorf("%d %s, want %d %s", a.status, a.body, c.status, c.code)
						}
						if !s.log.Head().IsZero() {
							t.Error("something was stored")
						}
					})
			})
		}
	}
}

// TestDoorsHeaders: more than 20 KiB of them are too much.
func TestDoorsHeaders(t *testing.T) {
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) {
			bubble(t, api.Options{}, func(t *testing.T, s *piped) {
				g := d.enter(s)
				go g.read()
				g.get("/v1/stream", 1<<16, "X: "+strings.Repeat("x", 21<<10))
				g.wantEnd(0, 2*time.Second)
			})
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestDoorsLongPoll: a page that waits for an event does so until its token ends, not longer.
func TestDoorsLongPoll(t *testing.T) {
	for _, kind := range list("application/json application/x-ndjson") {
		for _, d := range doors {
			t.Run("row 162: "+d.name+" "+kind, func(t *testing.T) {
				bubbleOf(t, func(t *testing.T) api.Options { return keyed(t, api.Options{}) },
					func(t *testing.T, s *piped) {
						token := holder{subscribe: ">", expires: 10 * time.Second}.token(t)
						begin := time.Now()
						a := d.do(s, "GET", "/v1/topics/a/events?wait=60s&since=latest", nil,
							bearer(token), "Accept: "+kind)
						if waited := time.Since(begin); a.status != 200 ||
							waited > 10*time.Second+auth.Leeway || waited < 10*time.Second {
							t.Errorf("%d %s after %v", a.status, a.body, waited)
						}
					})
			})
		}
	}
}

// TestDoorsHSTS: a browser that has once come in by TLS does so ever after.
func TestDoorsHSTS(t *testing.T) {
	for _, d := range doors {
		bubble(t, api.Options{}, func(t *testing.T, s *piped) {
			for _, path := range list("/v1/log /nothing /healthz /") {
				a := d.do(s, "GET", path, nil)
				if got := a.header.Get("Strict-Transport-Security"); (got != "") != d.tls {
					t.Errorf("%s %s: %q", d.name, path, got)
				}
			}
		})
	}
}

// tired is a connection of a client that reads 16 KiB in two seconds.
type tired struct{ net.Conn }

func (c tired) Read(p []byte) (int, error) {
	time.Sleep(2 * time.Second) // the bubble's clock
	return c.Conn.Read(p[:min(len(p), 16<<10)])
}

// TestDoorsSlowBackup: the one place for a backup is not for who takes 64 KiB a minute.
func TestDoorsSlowBackup(t *testing.T) {
	for _, d := range doors {
		t.Run("row 164: "+d.name, func(t *testing.T) {
			bubble(t, api.Options{}, func(t *testing.T, s *piped) {
				g := d.enter(s)
				g.get("/v1/backup", 1<<31-1)
				var reading sync.WaitGroup
				g.Conn = tired{g.Conn}
				reading.Go(g.read)
				g.wantEnd(api.DefaultStallTimeout, 2*api.DefaultStallTimeout)
				reading.Wait()
			})
		})
	}
}

// TestDoorsSilence: a connection that says nothing, or no more, is closed.
func TestDoorsSilence(t *testing.T) {
	const idle = 15 * time.Minute
	for _, d := range doors {
		t.Run("row 165: "+d.name, func(t *testing.T) {
			bubble(t, api.Options{IdleTimeout: idle}, func(t *testing.T, s *piped) {
				d.knock(s).wantEnd(0, 11*time.Second)
				begun := d.knock(s)
				if _, err := begun.Write([]byte("\x16\x03\x01\x02")); err != nil { // TLS, and none
					t.Fatal(err)
				}
				go func() { _, _ = io.Copy(io.Discard, begun) }()
				begun.wantEnd(0, 11*time.Second)
				g := d.enter(s)
				go func() { _, _ = io.Copy(io.Discard, g) }()
				g.get("/healthz", 1<<16)
				g.wantEnd(idle, idle+2*time.Second)
			})
		})
	}
}

// copied is a log that can be backed up, into nothing but zeros.
type copied struct{ store.Log }

func (copied) OpenBackup(context.Context) (*store.Backup, error) {
	const size = 1 << 20
	return &store.Backup{Manifest: store.Manifest{Size: size},
		ReadCloser: io.NopCloser(bytes.NewReader(make([]byte, size)))}, nil
}
