package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conns chan net.Conn
	net.Listener
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error { close(l.conns); return nil }

// TestSidesDoNotWait: a side listener does not wait for a request whose body does not arrive.
func TestSidesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sideListeners{logger: slog.New(slog.DiscardHandler)}
		listener := &oneConn{conns: make(chan net.Conn, 1)}
		client, server := net.Pipe()
		listener.conns <- server
		s.serve(listener, http.NotFoundHandler())
		begin := time.Now()
		if _, err := io.WriteString(client,
			"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 404") ||
			time.Since(begin) > sideReadTimeout+time.Second {
			t.Errorf("%q, %v after %v", got, err, time.Since(begin))
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
}
