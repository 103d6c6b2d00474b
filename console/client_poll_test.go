package console_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tidings/internal/e2e"
)

// TestPolling: behind something that holds streams back the client polls with the same cursor, for all of its tabs, and
// later tries a stream again.
func TestPolling(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	first := p.openClient(t, s, `{"name":"me"}`)
	first.await(t, "live")
	cursor := s.publish(t, "orders", 5)
	first.await(t, "event", "id", cursor)
	first.close(t)

	s.set(buffering)
	asked := len(s.pages())
	s.publish(t, "orders", 300) // more than a page
	tb := p.openClient(t, s, `{"name":"me"}`, clock(t))
	s.awaitStreams(t, 2)
	tb.eval(t, `pass(15_000)`)
	tb.await(t, "state", "state", "live", "transport", "poll")
	tb.await(t, "live", "missed", 300.)
	pages := s.pages()[asked:]
	if got := pages[0].Query.Get("after"); got != cursor {
		t.Errorf("the first page is of what is after %q, want %s", got, cursor)
	}
	for _, page := range pages[:3] { // two, and the first poll
		if got := page.Query.Get("wait"); got != "" {
			t.Errorf("a page waits %s, and until then nobody knows what is missing", got)
		}
	}
	other := p.openClient(t, s, `{"name":"me"}`, clock(t))
	other.await(t, "state", "state", "live", "transport", "poll")
	begin, _ := other.given("made")[0]["cursor"].(string)
	s.publish(t, "orders", 10)
	s.check(t, cursor, tb)
	s.check(t, begin, other)

	tb.eval(t, `pass(300_000)`)
	s.publish(t, "orders", 1) // ends the poll in progress
	s.awaitStreams(t, 3)
	s.set(none)
	for _, tb := range []*tab{tb, other} {
		tb.await(t, "state", "state", "live", "transport", "stream")
	}
	s.check(t, cursor, tb)
	s.check(t, begin, other)
}

// TestBufferingNginx: nginx, configured as for ordinary pages and told to ignore the server's hint, does that.
func TestBufferingNginx(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	direct := s.URL
	s.URL = startNginx(t, strings.TrimPrefix(direct, "http://"), "proxy_ignore_headers "+
		"X-Accel-Buffering; proxy_buffering on; gzip on; gzip_proxied any; gzip_types text/event-stream;")
	tb := p.openClient(t, s, `{"name":"me"}`)
	tb.await(t, "state", "state", "live", "transport", "poll")
	s.publish(t, "orders", 10)
	s.check(t, "", tb)
}

// startNginx runs nginx before an upstream, with these directives added to the necessary ones, and returns its URL.
func startNginx(t *testing.T, upstream, directives string) string {
	t.Helper()
	path, dir := e2e.Need(t, "nginx"), t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer listener.Close() // nginx has a copy
	configuration := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; scgi_temp_path %[1]s/s; uwsgi_temp_path %[1]s/u;
	server {
		listen %[2]s;
		location / {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			%[4]s
		}
	}
}`, dir, listener.Addr(), upstream, directives)
	if err := os.WriteFile(dir+"/nginx.conf", []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-e", "stderr", "-c", dir+"/nginx.conf")
	cmd.ExtraFiles = []*os.File{file}
	// it inherits the socket, as in an upgrade of the binary
	cmd.Env = append(os.Environ(), "NGINX=3;")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // including its workers
		_ = cmd.Wait()                                      // it was killed
	})
	address := "http://" + listener.Addr().String()
	client := &http.Client{Timeout: e2e.Patience,
		Transport: &http.Transport{DisableKeepAlives: true}}
	e2e.Eventually(t, "answer from nginx", func() bool {
		resp, err := client.Get(address + "/healthz") // waits in the socket until nginx accepts it
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	return address
}
