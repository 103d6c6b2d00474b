package main

import (
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// refused checks that serve does not start, and reports why in one line.
func (r configRow) refused(t *testing.T) {
	t.Helper()
	got := r.stopped(t).ended(t, exitUsage)
	if !strings.Contains(got.stderr, r.want) || strings.Count(got.stderr, "\n") != 1 ||
		got.stdout != "" {
		t.Errorf("stdout %q, stderr %q, want one line with %q", got.stdout, got.stderr, r.want)
	}
}

// TestNoSecretThroughAnyDoor: row 180 of docs/ERRORS.md. internal/auth tests the forms.
func TestNoSecretThroughAnyDoor(t *testing.T) {
	_, public := newKeyPair(t)
	for name, text := range map[string]string{
		"row 180: public key in base64": base64.StdEncoding.EncodeToString([]byte(public)),
		"row 180: address":              "https://id.example.com/realms/tidings/certs",
		"row 180: path":                 "/run/secrets/jwt",
		"row 180: variable":             "${TIDINGS_JWT_KEY:?make-one}",
		"row 180: zeros":                strings.Repeat("0", 40) + "1",
		"row 180: phrase":               "this-is-the-secret-of-our-own-server",
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "key", []byte(text+"\r\n"), 0o600)
			for _, r := range []configRow{{args: "--jwt-key " + text, want: "--jwt-key: "},
				{environ: []string{"TIDINGS_JWT_KEY=" + text}, want: "--jwt-key: "},
				{args: "--jwt-key-file " + file, want: "--jwt-key-file: "}} {
				r.refused(t)
				args := append([]string{"token", "--admin"}, strings.Fields(r.args)...)
				runWith(t.Context(), r.environ, nil, args...).want(t, exitUsage, "", r.want)
			}
		})
	}
}

// TestNothingOpensTheServer: row 181 of docs/ERRORS.md.
func TestNothingOpensTheServer(t *testing.T) {
	const key = "TIDINGS_JWT_KEY=" + jwtSecret
	for _, verb := range verbs(t) {
		for _, f := range verb.Flags {
			name, ok := variableOf(f)
			if verb.Name != "serve" || !ok || f.HasDefault || f.IsBool() {
				continue
			}
			t.Run("row 181: empty "+name, func(t *testing.T) {
				configRow{environ: []string{name + "="},
					want: name + " is set and empty: expected a value for --" + f.Name}.refused(t)
				got := configRow{args: "--" + f.Name + "="}.stopped(t).ended(t, exitUsage)
				if !strings.Contains(got.stderr, "--"+f.Name) {
					t.Errorf("stderr %q", got.stderr)
				}
			})
		}
	}
	t.Run("row 181: empty, with --insecure", func(t *testing.T) {
		configRow{args: "--insecure", environ: []string{"TIDINGS_JWT_KEY="},
			want: "TIDINGS_JWT_KEY is set and empty"}.refused(t)
	})
	for _, name := range []string{"TIDINGS_JWTKEY", "TIDINGS_JWT_KEYS", "TIDINGS_JWT",
		"TIDINGS_KEY", "TIDINGS_SECRET", "TIDINGS_JWT_SECRET", "TIDINGS_JWT_KEYFILE", "TIDINGS_JWKS",
		"TIDINGS_JWKS_URI", "TIDINGS_JTW_KEY", "TIDINGS_JWT_ISUER", "TIDINGS_HMAC",
		"TIDINGS_AUTH_TOKEN", "TIDING_JWT_KEY", "TIDINGSJWTKEY", "TIDINGS-JWT-KEY",
		"TIDINGS.JWKS.URL", "tidings_jwt_key", "Tidings_Jwt_Key_File"} {
		t.Run("row 181: misspelt "+name, func(t *testing.T) {
			want := name + " is set, but no such setting exists: expected TIDINGS_JWT_KEY"
			configRow{environ: []string{name + "=x"}, want: want}.refused(t)
			configRow{environ: []string{name + "="}, want: want}.refused(t)
			configRow{environ: []string{name + "=x", key}, want: want}.refused(t)
		})
	}
	for _, environ := range [][]string{
		{"TIDINGS_LISTEN=", "TIDINGS_INSECURE=", "TIDINGS_HEARTBEAT="},                   // the defaults
		{"TIDINGS_JWT_SERVICE_HOST=10.0.0.1", "TIDINGS_AUTH_PORT_80_TCP=tcp://10.0.0.1"}, // Kubernetes
		{"TIDINGS_JWKS_URL=", "TIDINGS_JWT_KEY_FILE=", key},                              // there is a key
		{"JWT_KEY=x", "TIDINGS_PORT=tcp://10.0.0.1"},
	} {
		configRow{environ: environ}.stopped(t).ended(t, exitOK)
	}
}

// TestTokenIsAHeader: row 187 of docs/ERRORS.md.
func TestTokenIsAHeader(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer a.b.c" {
			t.Errorf("Authorization is %q", got)
		}
		io.WriteString(w, `{"id":"01K5ZM00000000000000000000"}`)
	})
	for _, token := range []string{"a.b.c\n", "a.b.c\r\n", " \ta.b.c ", "a.b.c"} {
		t.Run("row 187: trimmed", func(t *testing.T) {
			runWith(t.Context(), []string{"TIDINGS_TOKEN=" + token}, nil, "publish", "--url", url,
				"orders", "1").want(t, exitOK, "01K5ZM00000000000000000000\n", "")
		})
	}
	for _, token := range []string{"a.b\nc", "Bearer a.b.c", "a.b\x00c", "a.b.cé", "a.b\u2028c"} {
		for _, verb := range [][]string{{"publish", "orders", "1"}, {"tail"}, {"health"},
			{"backup", "/nowhere/at/all", "--url", url}} {
			t.Run("row 187: refused", func(t *testing.T) {
				got := runWith(t.Context(), []string{"TIDINGS_TOKEN=" + token}, nil, verb...).
					ended(t, exitUsage)
				if !strings.Contains(got.stderr, "(from TIDINGS_TOKEN)") ||
					strings.Contains(got.stderr, token) {
					t.Errorf("stderr %q", got.stderr)
				}
			})
		}
		runCLI(t, "health", "--token", token).want(t, exitUsage, "", "--token: expected just a token")
	}
}

// TestNothingWasSent: after an error before the first byte, the outcome is certain.
func TestNothingWasSent(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came") })
	encrypted := strings.Replace(url, "http:", "https:", 1)
	runCLI(t, "publish", "orders", "1", "--url", encrypted).want(t, exitFailure, "",
		"nothing was stored: http: server gave HTTP response to HTTPS client")
	runCLI(t, "trim", "orders", "--before", "01K5ZM00000000000000000000", "--url", encrypted).
		want(t, exitFailure, "", "nothing was deleted: ")
	strange := httptest.NewTLSServer(nil)
	defer strange.Close()
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	runCLI(t, "publish", "orders", "1", "--url", strange.URL).want(t, exitFailure, "",
		"nothing was stored: tls: failed to verify certificate")
}
