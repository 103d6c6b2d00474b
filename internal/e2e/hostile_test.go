package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"tidings/internal/e2e"
)

// receive responds to deliveries at once, except to /slow after 10 s, and to /refuse with 503. It prints its URL.
func receive(string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a failure is the sender's to report
		switch {
		case strings.HasPrefix(r.URL.Path, "/slow"):
			select {
			case <-time.After(10 * time.Second):
			case <-r.Context().Done():
			}
		case strings.HasPrefix(r.URL.Path, "/refuse"):
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
}

func burn(processors string) error {
	if err := yieldToOthers(); err != nil {
		return err
	}
	return work(processors)
}

// work counts the time that it gets: on a busy machine it is behind, and does not sleep.
func work(processors string) error {
	share, err := strconv.ParseFloat(processors, 64)
	if err != nil {
		return err
	}
	const slice = time.Millisecond
	began := time.Now()
	for range runtime.NumCPU() {
		go func() {
			for {
				if e2e.OwnCPU() >= time.Duration(share*float64(time.Since(began))) {
					time.Sleep(slice) // the duty cycle, not a wait for anything
					continue
				}
				for begin := time.Now(); time.Since(begin) < slice; {
				}
			}
		}()
	}
	select {}
}

// attacker attacks one server.
type attacker struct {
	url, address string
	client       *http.Client
}

// attack runs all attacks at once, each on several connections.
func attack(url string) error {
	if err := yieldToOthers(); err != nil {
		return err
	}
	a := &attacker{url: url, address: strings.TrimPrefix(url, "http://"), client: &http.Client{}}
	a.publishLarge()
	const page = "/v1/topics/ctl/events?limit=4"
	for i := range 20 {
		go a.stuck(page, "")
		go a.stuck(page, "Accept-Encoding: "+[]string{"gzip", "zstd"}[i%2]+"\r\n")
		go a.stuck(page+"&since=earliest", "Accept: application/x-ndjson\r\n")
		go a.stuck("/v1/topics", "")
		go a.unfinished(i%2 == 0, strings.Repeat(line("a", 100_000), 160))
		go a.unfinished(i%2 == 0, `{"topic":"a","data":"`+strings.Repeat("x", 15<<20))
	}
	for i := range 40 {
		go a.stuck("/v1/topics/ctl/stream?since=earliest&format="+
			[]string{"cloudevents", "data"}[i%2], "")
		go a.stuck("/v1/stream?since=earliest&topic=ctl&topic=x."+strconv.Itoa(i), "")
	}
	go a.unreadHTTP2(page)
	go a.unfinishedHTTP2()
	for _, body := range []string{"[" + strings.Repeat("0,", 8<<20-1) + "0]",
		"[" + strings.Repeat("[", 16<<20-2)} {
		go a.repeat("application/cloudevents-batch+json", func() string { return body })
	}
	go a.repeat("application/x-ndjson", func() string {
		return `{"topic":"a","data":{` + strings.Repeat(`"a":1,`, 1_200_000) + `"b":1}}`
	})
	go a.repeat("application/x-ndjson", func() string {
		return strings.Repeat(line("new."+strconv.FormatUint(rand.Uint64(), 36), 10), 1000)
	})
	go a.repeat("application/cloudevents-batch+json", manyKeys)
	go a.flood(a.publishLarge)
	go a.flood(a.mark)
	select {}
}

// line is an event of a batch.
func line(topic string, size int) string {
	return `{"topic":"` + topic + `","data":"` + strings.Repeat("x", size) + "\"}\n"
}

// manyKeys is a batch of events with an idempotency key each.
func manyKeys() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `,{"specversion":"1.0","id":"%d","source":"/%d","type":"t","topic":"keys"}`,
			i, rand.Uint64())
	}
	return "[" + b.String()[1:] + "]"
}

// flood calls do five times a second.
func (a *attacker) flood(do func()) {
	for range time.Tick(200 * time.Millisecond) {
		do()
	}
}

func (a *attacker) repeat(mediaType string, body func() string) {
	a.flood(func() { a.send("POST", "/v1/events", mediaType, strings.NewReader(body())) })
}

// send sends a request, and ignores the outcome.
func (a *attacker) send(method, path, mediaType string, body io.Reader) {
	r, err := http.NewRequest(method, a.url+path, body)
	if err != nil {
		panic(err) // all arguments are constants
	}
	r.Header.Set("Content-Type", mediaType)
	if resp, err := a.client.Do(r); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// publishLarge publishes events that are six times as large in JSON.
func (a *attacker) publishLarge() {
	for range 4 {
		a.send("POST", "/v1/topics/ctl/events", "text/plain",
			bytes.NewReader(bytes.Repeat([]byte{1}, 1<<20)))
	}
}

func (a *attacker) mark() {
	a.send("PUT", "/v1/cursors/"+strconv.FormatUint(rand.Uint64(), 36), "application/json",
		strings.NewReader(`{"id":"00000000000000000000000000","topics":["ctl"]}`))
}

// hold waits while a connection is held, before the next one replaces it.
func (a *attacker) hold() { time.Sleep(5*time.Second + rand.N(10*time.Second)) }

// stuck sends requests and does not read the responses, forever.
func (a *attacker) stuck(path, header string) {
	for ; ; a.hold() {
		a.connect("GET "+path+" HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n", a.hold)
	}
}

// unfinished sends a body without its end.
func (a *attacker) unfinished(chunked bool, body string) {
	head := "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
	if chunked {
		head += "Transfer-Encoding: chunked\r\n\r\n1000000\r\n"
	} else {
		head += "Content-Length: 16777216\r\n\r\n"
	}
	for ; ; a.hold() {
		a.connect(head+body, a.hold)
	}
}

// connect sends text on a connection with a small receive buffer, and closes it after a while.
func (a *attacker) connect(text string, while func()) {
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err == nil {
		while()
	}
}

func newHTTP2() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

// unreadHTTP2 asks for many pages on one connection and reads none.
func (a *attacker) unreadHTTP2(path string) {
	for client := newHTTP2(); ; client.CloseIdleConnections() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		for range 25 {
			if r, err := http.NewRequestWithContext(ctx, "GET", a.url+path, nil); err == nil {
				go client.Do(r) // which the context ends
			}
		}
		<-ctx.Done()
		cancel()
	}
}

// unfinishedHTTP2 sends bodies without an end on one connection.
func (a *attacker) unfinishedHTTP2() {
	for client := newHTTP2(); ; client.CloseIdleConnections() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		for range 20 {
			r, w := io.Pipe()
			req, err := http.NewRequestWithContext(ctx, "POST", a.url+"/v1/events", r)
			if err != nil {
				panic(err) // all arguments are constants
			}
			req.Header.Set("Content-Type", "application/x-ndjson")
			go client.Do(req) // which the context ends
			go io.WriteString(w, strings.Repeat(line("a", 100_000), 160))
			context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
		}
		<-ctx.Done()
		cancel()
	}
}
