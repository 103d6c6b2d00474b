package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"tidings/store/bolt"
)

// configRow is a case of docs/ERRORS.md, "Configuration": the settings of serve, and its message.
type configRow struct {
	name    string
	args    string
	environ []string
	want    string // in the one line of a refusal, or in a warning
}

// stopped runs serve with a context that has ended: a server that starts then stops at once.
func (r configRow) stopped(t *testing.T) outcome {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	args := []string{"serve"}
	for _, flag := range []string{"--listen", "--data-dir"} {
		if !strings.Contains(r.args, flag) {
			args = append(args, flag, map[string]string{"--listen": "127.0.0.1:0",
				"--data-dir": filepath.Join(t.TempDir(), "data")}[flag])
		}
	}
	return runWith(ctx, r.environ, strings.NewReader(""),
		append(args, strings.Fields(r.args)...)...)
}

func write(t *testing.T, name string, content []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

// TestConfigRows: rows 90 to 95, 193 and 300 of docs/ERRORS.md that are refused, in one line that names the
// setting.
func TestConfigRows(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(small.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := write(t, "small.pem",
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
	private := write(t, "private.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
		Bytes: x509.MarshalPKCS1PrivateKey(small)}), 0o600)
	for _, r := range []configRow{
		{"row 90: unknown flag", "--hartbeat 15s", nil, "--hartbeat"},
		{"row 90: no number", "--max-topics many", nil, "--max-topics"},
		{"row 90: no duration", "--heartbeat soon", nil, "--heartbeat"},
		{"row 90: duration without a unit", "--heartbeat 15", nil, "--heartbeat"},
		{"row 90: negative size", "--tail-bytes -1", nil, "--tail-bytes"},
		{"row 90: unknown unit", "--tail-bytes 64MiX", nil, "--tail-bytes"},
		{"row 90: size out of range", "--max-event-bytes 1GiB", nil, "--max-event-bytes"},
		{"row 90: variable", "", []string{"TIDINGS_HEARTBEAT=soon"}, "TIDINGS_HEARTBEAT"},
		{"row 90: argument", "orders", nil, "orders"},
		{"row 90: nothing where a directory is expected", "--data-dir=",
			nil, "--data-dir: expected a value, got an empty one"},
		{"row 90: an address where a name is expected", "--allow-host https://tidings.example.com",
			nil, "--allow-host: expected a name such as tidings.example.com"},
		{"row 90: any name", "--allow-host *", nil,
			"--allow-host: expected a name such as tidings.example.com"},
		{"row 91: short secret", "--jwt-key 0123456789abcdefghijklmnopqrstu", nil,
			"--jwt-key: an HMAC secret has at least 32 bytes, this one 31"},
		{"row 91: empty secret", "--jwt-key=", nil,
			"--jwt-key: expected a value, got an empty one"},
		{"row 91: example", "", []string{"TIDINGS_JWT_KEY=a-string-secret-at-least-256-bits-long"},
			"--jwt-key: this HMAC secret is an example"},
		{"row 91: RSA of 1,024 bits", "--jwt-key-file " + public,
			nil, "--jwt-key-file: an RSA key has at least 2048 bits, this one 1024"},
		{"row 91: private key", "--jwt-key-file " + private, nil,
			"--jwt-key-file: a private key where its public key is expected"},
		{"row 91: mangled PEM", "",
			[]string{`TIDINGS_JWT_KEY=-----BEGIN PUBLIC KEY-----\nMCowBQYDK2Vw\n-----END PUBLIC KEY-----`},
			"--jwt-key: damaged PEM"},
		{"row 91: no file", "--jwt-key-file nowhere", nil, "--jwt-key-file"},
		{"row 92: named port that is none", "--listen 127.0.0.1:tidings", nil, "--listen"},
		{"row 92: no port", "--listen localhost", nil, "--listen"},
		{"row 92: port out of range", "--listen 127.0.0.1:99999", nil, "--listen"},
		{"row 92: certificate without a key", "--tls-cert " + public, nil, "--tls-key"},
		{"row 92: no certificate", "--tls-cert " + public + " --tls-key " + private, nil,
			"--tls-cert"},
		{"row 93: every address", "--listen 0.0.0.0:0", nil, "--insecure"},
		{"row 93: every address of both versions", "--listen :0", nil, "--insecure"},
		{"row 93: an address of the network", "--listen 192.0.2.1:8080", nil, "--insecure"},
		{"row 93: behind a proxy", "--trusted-proxy 127.0.0.1", nil, "--insecure"},
		{"row 90: no name of a cookie", "--cookie-name tidings=1", nil, "--cookie-name"},
		{"row 90: a prefix of browsers", "--cookie-name __Host-t", nil, "--cookie-name"},
		{"row 93: a name", "--listen events.example.com:0", nil, "--insecure"},
		{"row 193: a number that was a share", "--min-free 5", nil,
			"--min-free: 5 would be a number of bytes: write a share of the disk such as 5%"},
		{"row 193: all of the disk", "--min-free 100%", nil, "--min-free"},
		{"row 300: no URL of a console", "--console-url events.example.com", nil, "--console-url"},
		{"row 300: a token in it", "--console-url https://events.example.com/#token=x", nil, "--console-url"},
		{"row 370: no contact", "--push-contact ops@example.com", nil,
			`--push-contact: expected mailto:ops@example.com, or a URL such as https://example.com/contact, got "ops@`},
		{"row 370: no grace", "--push-grace 0s", nil, "--push-grace"},
		{"row 370: no devices", "--max-devices-per-subject 0", nil, "--max-devices-per-subject"},
		{"row 193: no level", "--log-level loud", nil,
			`--log-level: expected debug, info, warn or error, got "loud"`},
		{"row 95: no age", "--retain-age 0s", nil,
			`--retain-age: expected an age above 0, such as 30d or orders.>=12h, got "0s"`},
		{"row 95: no events", "--retain-events orders=0",
			nil,
			`--retain-events: expected a number of events above 0, such as 1000000 or orders.>=1000, got "orders=0"`},
		{"row 95: no bytes", "", []string{"TIDINGS_RETAIN_BYTES=0"},
			`--retain-bytes: expected bytes above 0, such as 10GiB or orders.>=64MiB, got "0"`},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := r.stopped(t).ended(t, exitUsage)
			if !strings.Contains(got.stderr, r.want) || strings.Count(got.stderr, "\n") != 1 ||
				got.stdout != "" {
				t.Errorf("stdout %q, stderr %q, want one line with %q", got.stdout,
					got.stderr, r.want)
			}
		})
	}
}

// TestConditionsThatPass: rows of docs/ERRORS.md that end the server in a way after which it is to be restarted.
func TestConditionsThatPass(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, r := range []configRow{
		{"row 190: in use", "--listen " + taken.Addr().String(), nil, "--listen"},
		{"row 190: in use beside", "--metrics-listen " + taken.Addr().String(), nil,
			"--metrics-listen"},
		{"row 190: not the machine's yet", "--insecure --listen 192.0.2.1:8080", nil, "--listen"},
		{"row 190: not resolved yet", "--insecure --listen tidings.invalid:0", nil, "--listen"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := r.stopped(t).ended(t, exitFailure); !strings.Contains(got.stderr, r.want) {
				t.Errorf("stderr %q, want one line with %q", got.stderr, r.want)
			}
		})
	}
}

// TestConfigWarnings: rows 90 to 94, and 192 to 194, of docs/ERRORS.md with which the server runs.
func TestConfigWarnings(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1, time.Now().Add(-time.Minute))
	readable := write(t, "key", []byte(jwtSecret), 0o644)
	for _, r := range []configRow{
		{"row 90: unknown variable", "", []string{"TIDINGS_HARTBEAT=15s"},
			"TIDINGS_HARTBEAT is set, but no such setting exists"},
		{"row 91: key that everybody can read", "--jwt-key-file " + readable, nil,
			"key file is world-readable"},
		{"row 92: expired certificate", "--tls-cert " + cert + " --tls-key " + key, nil,
			"the certificate has expired"},
		{"row 192: every IPv4 address", "--insecure --trusted-proxy 0.0.0.0/0", nil,
			"--trusted-proxy covers most of the internet"},
		{"row 192: every address", "--insecure --trusted-proxy ::/0", nil,
			"--trusted-proxy covers most of the internet"},
		{"row 194: a long heartbeat", "--heartbeat 10m", nil, "--heartbeat is long"},
		{"row 193: weeks", "--retain-age 2w --heartbeat 1min --idempotency-window 1d", nil, ""},
		{"row 93: on purpose", "--listen 0.0.0.0:0 --insecure", nil, ""},
		{"row 93: behind a proxy on purpose", "--trusted-proxy 127.0.0.1 --insecure", nil, ""},
		{"row 93: with a key", "--listen 0.0.0.0:0", []string{"TIDINGS_JWT_KEY=" + jwtSecret}, ""},
		{"row 94: missing directory", "--data-dir " + filepath.Join(dir, "made", "on", "the",
			"way"), nil, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := r.stopped(t).ended(t, exitOK)
			if !strings.Contains(got.stderr, r.want) ||
				!strings.HasPrefix(got.stdout, "listening on ") {
				t.Errorf("stdout %q, stderr %q, want a start and %q", got.stdout,
					got.stderr, r.want)
			}
		})
	}
}

// TestSurroundings: rows 94 to 97 of docs/ERRORS.md that depend on the machine.
func TestSurroundings(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("file systems and limits are told apart on Linux only")
	}
	t.Run("row 94: in memory", func(t *testing.T) {
		dir, err := os.MkdirTemp("/dev/shm", "tidings")
		if err != nil {
			t.Skipf("there is no tmpfs at /dev/shm: %v", err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if got := (configRow{args: "--data-dir " + dir}).stopped(t).ended(t,
			exitOK); !strings.Contains(got.stderr, "data directory is on tmpfs") {
			t.Errorf("stderr %q", got.stderr)
		}
	})
	t.Run("row 95: more bytes than the disk has", func(t *testing.T) {
		const warning = "--retain-bytes is more than the disk holds"
		dir := t.TempDir()
		_, total, err := bolt.DiskSpace(dir)
		if err != nil {
			t.Fatal(err)
		}
		got := configRow{args: fmt.Sprintf("--data-dir %s --min-free 0 --retain-bytes orders=%d",
			dir, total+1)}.stopped(t).ended(t, exitOK)
		if want := fmt.Sprintf(`"pattern":"orders","limit":%d,"disk":%d,"room":%d`, total+1, total,
			total); !strings.Contains(got.stderr, warning) || !strings.Contains(got.stderr, want) {
			t.Errorf("stderr %q, want %s", got.stderr, want)
		}
		got = configRow{args: fmt.Sprintf("--data-dir %s --min-free 0 --retain-bytes orders=%d",
			dir, total)}.stopped(t).ended(t, exitOK)
		if strings.Contains(got.stderr, warning) {
			t.Errorf("stderr %q of what just fits", got.stderr)
		}
	})
	t.Run("row 97: memory limit", func(t *testing.T) {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(100 << 20))
		if got := (configRow{}).stopped(t).ended(t, exitOK); !strings.Contains(got.stderr,
			`"limit":104857600,"needed":335544320`) {
			t.Errorf("stderr %q", got.stderr)
		}
	})
	t.Run("row 97: open files", func(t *testing.T) {
		got := configRow{args: "--max-streams 2000000000"}.stopped(t).ended(t, exitOK)
		before, _, listening := strings.Cut(got.stderr, `"msg":"listening"`)
		if !listening || !strings.Contains(before, "the limit of open files is too low") {
			t.Errorf("stderr %q, want the warning before it listens", got.stderr)
		}
	})
}

// TestDataDirRefused: row 94 of docs/ERRORS.md.
func TestDataDirRefused(t *testing.T) {
	file := write(t, "file", nil, 0o600)
	t.Run("row 94: file in its place", func(t *testing.T) {
		for _, dir := range []string{file, filepath.Join(file, "data")} {
			got := configRow{args: "--data-dir " + dir}.stopped(t)
			if got.code != exitInUse || got.stdout != "" || !strings.Contains(got.stderr, file) ||
				!strings.Contains(got.stderr, "--data-dir") {
				t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
			}
		}
	})
	t.Run("row 94: not writable", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		got := configRow{args: "--data-dir " + dir}.stopped(t).ended(t, exitInUse)
		if !strings.Contains(got.stderr, dir) {
			t.Errorf("stderr %q", got.stderr)
		}
	})
}
