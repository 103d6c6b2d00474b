package api_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"tidings/api"
	"tidings/store/storetest"
)

// TestUnreadBody: row 7 of docs/ERRORS.md, where nothing reads the body. The response waits for it, but not forever:
// otherwise one request would hold its connection until the client leaves.
func TestUnreadBody(t *testing.T) {
	const head, half = " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n", "half"
	for request, status := range map[string]int{
		"GET /healthz":                      200,
		"GET /v1/log":                       200,
		"GET /v1/events":                    200,
		"HEAD /v1/stream":                   200,
		"DELETE /v1/session":                204,
		"POST /nothing":                     404,
		"POST /v1/log":                      405,
		"POST /v1/topics/*/events":          400,
		"POST /v1/topics/a/events?type=":    400,
		"POST /v1/topics/a/trim?before=bad": 400,
	} {
		t.Run("row 7: "+request, func(t *testing.T) {
			bubble(t, api.Options{BodyTimeout: 7 * time.Second}, func(t *testing.T, s *piped) {
				begin := time.Now()
				_, r := s.send(request + head + half)
				resp, err := http.ReadResponse(r, &http.Request{Method: request[:4]})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(resp.Body); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(begin); resp.StatusCode != status || !resp.Close ||
					waited > 12*time.Second {
					t.Errorf("%s, closing: %v, after %v; want %d within 12 s", resp.Status,
						resp.Close, waited, status)
				}
			})
		})
	}
}

// TestAnnouncedBody: a body takes memory when it arrives, not when it is announced.
func TestAnnouncedBody(t *testing.T) {
	const head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 16777216\r\n\r\n{"
	bubble(t, api.Options{}, func(t *testing.T, s *piped) {
		before := storetest.Heap()
		var clients []net.Conn
		for range 16 {
			client, _ := s.send(head)
			clients = append(clients, client)
		}
		synctest.Wait()
		if after := storetest.Heap(); after > before+64<<20 {
			t.Errorf("%d MiB for 16 bytes", (after-before)>>20)
		}
		for _, c := range clients {
			c.Close()
		}
		time.Sleep(time.Second) // net/http lingers for half of one
	})
}

// TestStreamOutlivesReadTimeout: that timeout is for bodies, even if the request for the stream had one.
func TestStreamOutlivesReadTimeout(t *testing.T) {
	const get = "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n"
	for name, request := range map[string]string{"no body": get + "\r\n",
		"a body": get + "Content-Length: 1\r\n\r\n1"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, api.Options{BodyTimeout: 7 * time.Second}, func(t *testing.T, s *piped) {
				_, r := s.send(request)
				st := s.read(r)
				st.until("tidings.live")
				for range 10 {
					if e := st.next(); e.Type != "tidings.heartbeat" {
						t.Fatalf("%+v, want a heartbeat", e)
					}
				}
			})
		})
	}
}
