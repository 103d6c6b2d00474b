package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"tidings/internal/e2e"
)

// steering has a control character of each kind: ESC, DEL, CSI, OSC, a bidirectional override, and a tag beyond 16
// bits.
const steering = "\x1b\x7f\u009b31m\u009d52;c\u009c\u202e\U000e0001"

func wantNoSteering(t *testing.T, what, printed string) {
	t.Helper()
	for _, r := range printed {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf) {
			t.Errorf("%s: %q has %U", what, printed, r)
			return
		}
	}
}

// TestNothingSteersTheTerminal: text from clients is escaped wherever the program prints it.
func TestNothingSteersTheTerminal(t *testing.T) {
	var log e2e.Output
	serverURL := servingTo(t, &log, "--data-dir", t.TempDir(), "--log-level", "debug")
	document, err := json.Marshal(steering)
	if err != nil {
		t.Fatal(err)
	}
	raw := string(document) // everything but ESC verbatim
	runCLI(t, "publish", "--url", serverURL, "a", raw).ended(t, exitOK)
	runCLI(t, "publish", "--url", serverURL, "a", "text "+steering).ended(t, exitOK)
	tail := []string{"tail", "--url", serverURL, "--since", "earliest", "--limit", "2"}
	text := runCLI(t, tail...).ended(t, exitOK).stdout
	wantNoSteering(t, "tail", text)
	lines := runCLI(t, append(tail, "--json")...).ended(t, exitOK).stdout
	wantNoSteering(t, "tail --json", lines)
	first, second, _ := strings.Cut(lines, "\n")
	for line, want := range map[string]string{first: steering, second: "text " + steering} {
		var e struct{ Data string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Data != want {
			t.Errorf("%s has the data %q, %v, want %q", line, e.Data, err, want)
		}
	}
	wantNoSteering(t, "an error that cites an argument", runCLI(t, "publish", "--url", serverURL,
		"a"+steering, "1").ended(t, exitUsage).stderr)
	wantNoSteering(t, "an error that cites data", runWith(t.Context(), nil,
		strings.NewReader(`{"topic":"`+raw[1:len(raw)-1]+`","data":1}`), "import", "--data-dir",
		filepath.Join(t.TempDir(), "log")).ended(t, exitFailure).stderr)
	fetch(t, serverURL+"/"+url.PathEscape(steering), "")
	e2e.Eventually(t, "line about the request", func() bool {
		return strings.Contains(log.String(), `31m`)
	})
	wantNoSteering(t, "the log", log.String())
}

// TestTextLogIsEscaped: the log format that terminals get.
func TestTextLogIsEscaped(t *testing.T) {
	var b bytes.Buffer
	newLogger(&b, true, nil).Info("message "+steering, "key", steering)
	wantNoSteering(t, "the log", b.String())
}

// TestHealthOfServe: a container's health check needs only the variables that serve has.
func TestHealthOfServe(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1, time.Now().Add(time.Hour))
	plain := serving(t, "--data-dir", t.TempDir(), "--listen", "0.0.0.0:0", "--insecure")
	secret := serving(t, "--data-dir", t.TempDir(), "--listen", "[::]:0", "--insecure",
		"--tls-cert", cert, "--tls-key", key)
	port := func(address string) string { return address[strings.LastIndex(address, ":"):] }
	for _, c := range []struct {
		environ string
		code    int
	}{
		{"TIDINGS_LISTEN=0.0.0.0" + port(plain), exitOK},
		{"TIDINGS_LISTEN=" + port(plain), exitOK},
		{"TIDINGS_LISTEN=localhost" + port(plain), exitOK},
		{"TIDINGS_LISTEN=[::]" + port(secret) + " TIDINGS_TLS_CERT=" + cert + " TIDINGS_TLS_KEY=" + key,
			exitOK},
		{"TIDINGS_LISTEN=127.0.0.1" + port(secret), exitFailure}, // plain to TLS
		{"TIDINGS_URL=https://127.0.0.1" + port(secret), exitOK},
		{"TIDINGS_URL=" + plain + " TIDINGS_LISTEN=192.0.2.1:1", exitOK},
		{"TIDINGS_LISTEN=127.0.0.1:0", exitUsage},
		{"TIDINGS_LISTEN=localhost", exitUsage},
	} {
		got := runWith(t.Context(), strings.Fields(c.environ), nil, "health").ended(t, c.code)
		if c.code == exitOK && got.stderr != "" {
			t.Errorf("%s: %s", c.environ, got.stderr)
		}
	}
}

// TestAddressesCanBeOpened: serve prints an address that a browser can open.
func TestAddressesCanBeOpened(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0", "127.0.0.1:0"} {
		url := serving(t, "--data-dir", t.TempDir(), "--listen", listen, "--insecure")
		if !strings.HasPrefix(url, "http://127.0.0.1:") {
			t.Errorf("--listen %s printed %s", listen, url)
		}
		fetch(t, url+"/healthz", "")
	}
}

// TestBackupToAFullDisk: the full disk is not the log's.
func TestBackupToAFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	dir, _ := storedLog(t, `1`)
	c := backupCmd{DataDir: dir}
	_, err = c.copy(t.Context(), &app{logger: newLogger(&bytes.Buffer{}, false, nil)}, full)
	if err == nil || !strings.Contains(err.Error(), "for the backup: write /dev/full: "+
		syscall.ENOSPC.Error()) {
		t.Errorf("got %v", err)
	}
	runCLI(t, "backup", "-", "--data-dir", dir).want(t, exitUsage, "", "standard output")
}
