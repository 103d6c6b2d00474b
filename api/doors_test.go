package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/auth"
	"tidings/store"
)

// Each limit and each deadline holds at every door: with every protocol that a client may use.

// answers are requests for more than any buffer holds; any further values are headers.
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

// TestDoorsStall: a client that accepts nothing is cut off after the stall timeout.
func TestDoorsStall(t *testing.T) {
	for _, z := range sloths {
		for _, a := range answers {
			t.Run("row 160: "+z.String()+" "+strings.Join(a, " "), func(t *testing.T) {
				bubble(t, api.Options{StallTimeout: 10 * time.Second},
					func(t *testing.T, s *piped) {
						fill(t, s)
						// net/http waits 5 s for TLS's last words
						z.ask(s, a[0], a[1:]...).wantEnd(10*time.Second, 16*time.Second)
					})
			})
		}
	}
}

// TestDoorsCut: a client that accepts nothing when its response is cut off does not keep it for more than two
// seconds, however long the stall timeout is.
func TestDoorsCut(t *testing.T) {
	const stream, page, backup = "/v1/stream?since=earliest", "/v1/events?since=earliest",
		"/v1/backup"
	drain := func(_ *testing.T, s *piped) { s.api.Drain() }
	for _, c := range []struct {
		name, path string
		lifetime   time.Duration
		token      time.Duration            // 0: no token
		cut        func(*testing.T, *piped) // nil: it happens by itself, after 10 s
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

// disconnectAll is what an administrator does to streams.
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

// drip is a body that arrives byte by byte, one per second, without an end.
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

// TestDoorsBody: a body that is not completed is waited for until the body timeout, or until its token ends.
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

// TestDoorsHeaders: more than 20 KiB of headers are too much.
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

// TestDoorsHSTS: a browser that has once used TLS uses it from then on.
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

// tired is the connection of a client that reads 16 KiB in two seconds.
type tired struct{ net.Conn }

func (c tired) Read(p []byte) (int, error) {
	time.Sleep(2 * time.Second) // the bubble's clock
	return c.Conn.Read(p[:min(len(p), 16<<10)])
}

// TestDoorsSlowBackup: the one backup at a time is not for a client that accepts 64 KiB a minute.
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

// TestDoorsSilence: a connection that sends nothing, or nothing more, is closed.
func TestDoorsSilence(t *testing.T) {
	const idle = 15 * time.Minute
	for _, d := range doors {
		t.Run("row 165: "+d.name, func(t *testing.T) {
			bubble(t, api.Options{IdleTimeout: idle}, func(t *testing.T, s *piped) {
				d.knock(s).wantEnd(0, 11*time.Second)
				begun := d.knock(s)
				if _, err := begun.Write([]byte("\x16\x03\x01\x02")); err != nil { // begins a TLS record, no more
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

// copied is a log that can be backed up, as nothing but zeros.
type copied struct{ store.Log }

func (copied) OpenBackup(context.Context) (*store.Backup, error) {
	const size = 1 << 20
	return &store.Backup{Manifest: store.Manifest{Size: size},
		ReadCloser: io.NopCloser(bytes.NewReader(make([]byte, size)))}, nil
}
