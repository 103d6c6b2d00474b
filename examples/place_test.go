package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// place is where a server listens, now or later. The server can be killed and restarted there, on the same log.
type place struct {
	*e2e.Server
	address string
	dataDir string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	return &place{address: freeAddr(t), dataDir: t.TempDir()}
}

func (p *place) url() string { return "http://" + p.address }

func (p *place) start(t *testing.T, env []string, args ...string) {
	t.Helper()
	p.Server = e2e.Start(t, e2e.Options{Binary: binary, DataDir: p.dataDir, Env: env,
		Args: append([]string{"--listen", p.address}, args...)})
}

// freeAddr returns an address to listen on. It stays free, because nobody else draws the same one of 127.0.0.0/8, all
// of which only Linux serves.
func freeAddr(t *testing.T) string {
	t.Helper()
	ip := net.IPv4(127, 0, 0, 1)
	if runtime.GOOS == "linux" {
		ip = net.IPv4(127, byte(1+rand.N(254)), byte(rand.N(256)), byte(1+rand.N(254)))
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(ip.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// publish publishes an event and returns its ID. The topic may be followed by a query.
func (p *place) publish(t *testing.T, topic, kind, data string) string {
	t.Helper()
	resp, _ := send(t, http.MethodPost,
		p.url()+"/v1/topics/"+topic+"/events?type="+url.QueryEscape(kind), nil, data)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("publish to %s: %s", topic, resp.Status)
	}
	return path.Base(resp.Header.Get("Location"))
}

// send sends a request with a JSON body and returns the whole response.
func send(t *testing.T, method, target string, header http.Header,
	body string) (*http.Response, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		req.Header[name] = values
	}
	client := e2e.NewHTTPClient()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, content
}

// startProgram runs a Go program that says where it listens, and returns its address.
func startProgram(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(build(t, dir), append(args, "-listen", "127.0.0.1:0")...)
	cmd.Env = append(e2e.Environ(), env...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
		if t.Failed() {
			t.Logf("log of %s:\n%s", dir, &log)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("%s says %q: %v", dir, line, err)
	}
	return address
}

// serveFolder serves an example's folder, as any static file server does, with the address of Tidings filled in. built
// maps built files to their places.
func serveFolder(t *testing.T, dir string, server string, built map[string]string) string {
	t.Helper()
	handler := func(w http.ResponseWriter, r *http.Request) {
		name := path.Clean(r.URL.Path)
		if strings.HasSuffix(r.URL.Path, "/") {
			name = path.Join(name, "index.html")
		}
		file, ok := built[name]
		if !ok {
			file = filepath.Join(dir, filepath.FromSlash(name))
		}
		content, err := os.ReadFile(file)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type",
			map[string]string{".html": "text/html", ".js": "text/javascript"}[path.Ext(name)])
		_, _ = w.Write(bytes.ReplaceAll(content, []byte("http://127.0.0.1:8080"), []byte(server)))
	}
	s := httptest.NewServer(http.HandlerFunc(handler))
	t.Cleanup(s.Close)
	return s.URL
}
