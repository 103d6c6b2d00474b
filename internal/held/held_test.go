//go:build linux

package held_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/held"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

var errBye = errors.New("bye")

// story is a source that returns its frames from first to last, and then waits until it is cut.
type story struct {
	frames []string // of events
	at     int      // the next
	begun  bool
	live   bool
	first  int        // index of the first frame that Next returned last
	ended  chan error // receives the error of Ended
}

func newStory(frames []string) *story { return &story{frames: frames, ended: make(chan error, 1)} }

const opening, living, ending = "event: open\n\n", "event: live\n\n", "event: bye\n\n"

// text is everything that a client gets.
func (s *story) text() string { return opening + strings.Join(s.frames, "") + living + ending }

func (s *story) Next(now time.Time, cut error, frames [][]byte) held.Turn {
	t := held.Turn{Frames: frames, Live: s.live}
	if !s.begun {
		s.begun = true
		t.Frames = append(t.Frames, []byte(opening))
	}
	t.Control, s.first = len(t.Frames), s.at
	switch {
	case s.at < len(s.frames):
		text := []byte(nil)
		for ; s.at < len(s.frames) && len(text) < 64<<10; s.at++ {
			text = append(text, s.frames[s.at]...)
		}
		half := len(text) / 2
		half += bytes.Index(text[half:], []byte("\n\n")) + 2
		t.Frames = append(t.Frames, text[:half])
		if half < len(text) {
			t.Frames = append(t.Frames, text[half:])
		}
	case !s.live:
		s.live, t.Live = true, true
		t.Frames = append(t.Frames, []byte(living))
		t.Control = len(t.Frames)
	case cut != nil:
		t.Frames, t.End = append(t.Frames, []byte(ending)), cut
		t.Control = len(t.Frames)
	default:
		t.Until = now.Add(time.Hour)
	}
	return t
}

func (s *story) Wrote(frames [][]byte, n int) {
	written := bytes.Join(frames, nil)[:n]
	if n == len(bytes.Join(frames, nil)) {
		return
	}
	s.at = s.first + bytes.Count(bytes.TrimPrefix(written, []byte(opening)), []byte("\n\n"))
}

func (s *story) Ended(err error) { s.ended <- err }

func newPool(t testing.TB, o held.Options) *held.Pool {
	t.Helper()
	if o.StallTimeout == 0 {
		o.StallTimeout = time.Hour
	}
	if o.Grace == 0 {
		o.Grace = time.Second
	}
	if o.StuckBytes == 0 {
		o.StuckBytes = 64 << 20
	}
	o.Panicked = func(what any) { t.Error("panic:", what) }
	p := held.New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.Drain(errBye)
		if err := p.Wait(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

// pair is a connection on both sides.
func pair(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close() })
	if err := dialed.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return accepted.(*net.TCPConn), dialed.(*net.TCPConn)
}

const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
const plainHead = "HTTP/1.0 200 OK\r\n\r\n"

func hold(t testing.TB, p *held.Pool, s *story, chunked bool) (*held.Conn, *net.TCPConn) {
	t.Helper()
	server, client := pair(t)
	head := plainHead
	if chunked {
		head = chunkedHead
	}
	c := p.New()
	if err := p.Hold(c, server, []byte(head), chunked, s); err != nil {
		t.Fatal(err)
	}
	return c, client
}

// body reads a response to its end.
func body(t testing.TB, client io.Reader) string {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(text), err)
	}
	return string(text)
}

func frame(id, size int) string {
	return fmt.Sprintf("id: %026d\ndata: %s\n\n", id, strings.Repeat("x", size))
}

// mixed returns frames of which some pieces hold several, and others one.
func mixed() (frames []string) {
	for i, size := range []int{10, 20, 2000, 2500, 6000, 1, 30} {
		frames = append(frames, frame(i, size))
	}
	return frames
}

// TestCutAnywhere stops a write after each of its bytes, and once more in what is then owed: in the end the client
// gets the same.
func TestCutAnywhere(t *testing.T) {
	for _, chunked := range []bool{true, false} {
		for cut := 0; cut < 11_000; cut++ {
			if cut > 150 && cut%61 > 0 {
				continue // within a piece
			}
			p := newPool(t, held.Options{})
			left := cut
			p.SetWrite(func(fd int, buffers [][]byte) (int, error) {
				if left < 0 {
					return held.Writev(fd, buffers)
				}
				some := bytes.Join(buffers, nil)
				if len(some) <= left {
					left -= len(some)
				} else {
					some = some[:left]
					left = map[bool]int{true: left / 2, false: -1}[left > 1] // then less, then all
				}
				n, err := held.Writev(fd, [][]byte{some})
				if n != len(some) {
					t.Errorf("the socket took %d of %d bytes", n, len(some))
				}
				go p.Writable()
				return n, err
			})
			s := newStory(mixed())
			c, client := hold(t, p, s, chunked)
			c.Cut(errBye)
			if got := body(t, client); got != s.text() {
				t.Fatalf("chunked %v, cut at %d: got\n%s\nwant\n%s", chunked, cut, got, s.text())
			}
			client.Close()
			if err := <-s.ended; err != errBye {
				t.Fatalf("ended with %v", err)
			}
		}
	}
}

// until waits for a condition.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("still not: %s", what)
		}
	}
}

// large is a story with one frame that no socket accepts at once.
func large(size int) *story { return newStory([]string{frame(1, 10), frame(2, size), frame(3, 10)}) }

// TestStuck: what a stuck client is owed counts, beyond the limit the longest stuck make room, and a client that
// reads on gets everything.
func TestStuck(t *testing.T) {
	const size = 16 << 20
	p := newPool(t, held.Options{StuckBytes: 2 * size, Grace: patience})
	var stories []*story
	var clients []*net.TCPConn
	for i := range 4 {
		s := large(size)
		_, client := hold(t, p, s, true)
		stories, clients = append(stories, s), append(clients, client)
		until(t, "stuck", func() bool {
			bytes, crowded := p.Stuck()
			return bytes > int64(min(i+1, 2))*size/2 && crowded >= uint64(max(0, i-1))
		})
	}
	for i, s := range stories[:2] {
		if err := <-s.ended; !errors.Is(err, held.ErrCrowded) {
			t.Errorf("%d: %v, want it cut off as the longest stuck", i, err)
		}
	}
	p.Drain(errBye)
	for i, client := range clients[2:] {
		if got := body(t, client); got != stories[2+i].text() {
			t.Errorf("%d: %d bytes, want %d", i, len(got), len(stories[2+i].text()))
		}
		client.Close()
	}
	if bytes, crowded := p.Stuck(); bytes != 0 || crowded != 2 {
		t.Errorf("at the end %d bytes are owed, and %d were cut off", bytes, crowded)
	}
}

// TestAloneTakesMore: the only stuck client may be owed more than the limit.
func TestAloneTakesMore(t *testing.T) {
	p := newPool(t, held.Options{StuckBytes: 1})
	s := large(16 << 20)
	c, client := hold(t, p, s, true)
	until(t, "stuck", func() bool { bytes, _ := p.Stuck(); return bytes > 1 })
	c.Cut(errBye)
	if got := body(t, client); got != s.text() {
		t.Errorf("%d bytes, want %d", len(got), len(s.text()))
	}
}

// TestEnds: how a connection ends, and what its source is passed.
func TestEnds(t *testing.T) {
	stuck := func() *story { return large(16 << 20) }
	quiet := func() *story { return newStory(nil) }
	for _, c := range []struct {
		name  string
		o     held.Options
		story func() *story
		end   func(c *held.Conn, client *net.TCPConn) error
		want  error
	}{
		{"closed", held.Options{}, quiet,
			func(_ *held.Conn, client *net.TCPConn) error { return client.Close() }, held.ErrGone},
		{"half-closed", held.Options{}, quiet,
			func(_ *held.Conn, client *net.TCPConn) error { return client.CloseWrite() }, held.ErrGone},
		{"half-closed while stuck", held.Options{}, stuck,
			func(_ *held.Conn, client *net.TCPConn) error { return client.CloseWrite() }, held.ErrGone},
		{"noisy", held.Options{}, quiet, func(_ *held.Conn, client *net.TCPConn) error {
			_, err := client.Write(make([]byte, 5<<10))
			return err
		}, held.ErrNoisy},
		{"stalled", held.Options{StallTimeout: 50 * time.Millisecond}, stuck,
			func(*held.Conn, *net.TCPConn) error { return nil }, os.ErrDeadlineExceeded},
		{"cut off while stuck", held.Options{Grace: 50 * time.Millisecond}, stuck,
			func(c *held.Conn, _ *net.TCPConn) error { c.Cut(errBye); return nil }, held.ErrCutOff},
		{"cut off", held.Options{}, quiet,
			func(c *held.Conn, _ *net.TCPConn) error { c.Cut(errBye); return nil }, errBye},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, c.o)
			s := c.story()
			conn, client := hold(t, p, s, true)
			if len(s.frames) > 0 {
				until(t, "stuck", func() bool { bytes, _ := p.Stuck(); return bytes > 0 || p.Held() == 0 })
			}
			if err := c.end(conn, client); err != nil {
				t.Fatal(err)
			}
			if err := <-s.ended; !errors.Is(err, c.want) {
				t.Errorf("ended with %v, want %v", err, c.want)
			}
			client.Close()
			until(t, "closed", func() bool { return p.Held() == 0 })
			if bytes, _ := p.Stuck(); bytes != 0 {
				t.Errorf("%d bytes are owed to nobody", bytes)
			}
		})
	}
}

// TestHeardIsThrownAway: a client that sends little continues.
func TestHeardIsThrownAway(t *testing.T) {
	p := newPool(t, held.Options{})
	s := newStory(nil)
	c, client := hold(t, p, s, true)
	if _, err := client.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	c.Cut(errBye)
	if got := body(t, client); got != s.text() {
		t.Errorf("got %q", got)
	}
}

// TestWaitClosesWhatIsLeft: Wait does not outlast its context.
func TestWaitClosesWhatIsLeft(t *testing.T) {
	p := newPool(t, held.Options{})
	s := large(16 << 20)
	hold(t, p, s, true)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errBye)
	if err := p.Wait(ctx); err != errBye {
		t.Errorf("Wait: %v", err)
	}
	if err := <-s.ended; !errors.Is(err, held.ErrGone) {
		t.Errorf("ended with %v", err)
	}
}

// ringing is a source that counts, and returns one frame for each ring.
type ringing struct {
	story
	frame []byte
	said  atomic.Int64
	want  atomic.Int64
}

func (r *ringing) Next(now time.Time, cut error, frames [][]byte) held.Turn {
	if cut != nil {
		return held.Turn{End: cut}
	}
	if r.said.Load() < r.want.Load() {
		return held.Turn{Frames: append(frames, r.frame), Live: true}
	}
	return held.Turn{Until: now.Add(time.Hour), Live: true}
}

func (r *ringing) Wrote([][]byte, int) { r.said.Add(1) }

// TestDeliveryAllocatesNothing: from the ring to the bytes in the socket.
func TestDeliveryAllocatesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which CI runs short, has pools lose what they hold")
	}
	p := newPool(t, held.Options{})
	r := &ringing{story: *newStory(nil), frame: []byte(frame(1, 300))}
	server, client := pair(t)
	go func() { _, _ = io.Copy(io.Discard, client) }()
	c := p.New()
	if err := p.Hold(c, server, []byte(chunkedHead), true, r); err != nil {
		t.Fatal(err)
	}
	deliver := func() {
		want := r.want.Add(1)
		c.Ring()
		for r.said.Load() < want {
			time.Sleep(10 * time.Microsecond)
		}
	}
	deliver()
	if n := testing.AllocsPerRun(1000, deliver); n > 0 {
		t.Errorf("a delivery allocates %v times", n)
	}
}
