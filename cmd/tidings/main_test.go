package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// outcome is the result of a run of the command.
type outcome struct {
	code           int
	stdout, stderr string
}

// runCLI runs the command line with nothing on standard input and no variables.
func runCLI(t *testing.T, args ...string) outcome {
	t.Helper()
	return runWith(t.Context(), nil, strings.NewReader(""), args...)
}

func runWith(ctx context.Context, environ []string, stdin io.Reader, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, environ, stdin, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

func (o outcome) want(t *testing.T, code int, stdout, stderrPart string) {
	t.Helper()
	if o.code != code || o.stdout != stdout || !strings.Contains(o.stderr, stderrPart) ||
		stderrPart == "" && o.stderr != "" {
		t.Errorf(
			"got exit code %d\nstdout: %s\nstderr: %s\nwant exit code %d\nstdout: %s\nstderr with: %s",
			o.code, o.stdout, o.stderr, code, stdout, stderrPart)
	}
}

// ended checks only the exit code.
func (o outcome) ended(t *testing.T, code int) outcome {
	t.Helper()
	if o.code != code {
		t.Errorf("got exit code %d, want %d\nstdout: %s\nstderr: %s", o.code, code,
			o.stdout, o.stderr)
	}
	return o
}

// serve starts a server and returns its URL.
func serve(t *testing.T, h http.HandlerFunc) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		name, stderr string
		args         []string
	}{
		{"no verb", `expected one of "serve"`, nil},
		{"unknown flag", "--nope", []string{"tail", "--nope"}},
		{"bad number", `--limit: expected a valid 64 bit int but got "many"`,
			[]string{"tail", "--limit=many"}},
		{"bad URL", `--url: expected a URL such as http://127.0.0.1:8080 but got "ftp://x"`,
			[]string{"health", "--url=ftp://x"}},
		{"bad pattern", `invalid pattern "a..b"`, []string{"tail", "a..b"}},
		{"bad topic", `invalid topic "a b"`, []string{"publish", "a b", "1"}},
		{"bad ID", `--after: not a ULID`, []string{"tail", "--after=7"}},
		{"negative", "--last: expected 0 or more but got -1", []string{"tail", "--last=-1"}},
		{"two starts", "--since and --last", []string{"tail", "--since=1d", "--last=1"}},
		{"not UTF-8", `argument 3 is not UTF-8`, []string{"publish", "orders", "\xff"}},
		{"nothing to publish", "expected a TOPIC or --ndjson", []string{"publish"}},
		{"no such file", "--ndjson: stat nowhere", []string{"publish", "--ndjson=nowhere"}},
		{"topic and file", "--ndjson excludes TOPIC",
			[]string{"publish", "orders", "--ndjson=nowhere"}},
		{"skip without a file", "--skip-lines: only with --ndjson",
			[]string{"publish", "orders", "--skip-lines=1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runCLI(t, tt.args...)
			got.want(t, exitUsage, "", tt.stderr)
			if strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("stderr has more than one line: %q", got.stderr)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	tests := []struct {
		name    string
		environ []string
		args    []string
		code    int
		stderr  string
	}{
		{"variable", []string{"TIDINGS_URL=" + url}, nil, exitOK, ""},
		{"flag beats variable", []string{"TIDINGS_URL=http://no.invalid"},
			[]string{"--url", url}, exitOK, ""},
		{"flag beats a bad variable", []string{"TIDINGS_URL=nonsense"},
			[]string{"--url", url}, exitOK, ""},
		{"bad variable", []string{"TIDINGS_URL=nonsense"}, nil, exitUsage,
			`--url: expected a URL such as http://127.0.0.1:8080 but got "nonsense" (from TIDINGS_URL)`},
		{"another verb's variable", []string{"TIDINGS_LIMIT=3"},
			[]string{"--url", url}, exitOK, ""},
		{"unknown variable", []string{"TIDINGS_URI=x"}, []string{"--url", url}, exitOK,
			"warning: TIDINGS_URI is set, but no such setting exists"},
		{"other programs' variables", []string{"HOME=/", "TIDING=x"},
			[]string{"--url", url}, exitOK, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"health"}, tt.args...)
			runWith(t.Context(), tt.environ, nil, args...).want(t, tt.code, "", tt.stderr)
		})
	}
}

// Compose and unit files set variables to nothing to leave them out; as a number that would be invalid.
func TestEmptyVariableIsUnset(t *testing.T) {
	s := newStreamServer(t)
	runWith(t.Context(), []string{"TIDINGS_LIMIT="}, nil, "tail", "--url", s.url).want(t,
		exitOK, "", "")
}

func TestHelp(t *testing.T) {
	got := runCLI(t, "--help")
	if got.code != exitOK || !strings.Contains(got.stdout, "publish") || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
}

func TestVersion(t *testing.T) {
	got := runCLI(t, "version")
	want := regexp.MustCompile(`^tidings \S+ ` +
		regexp.QuoteMeta(runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH) + "\n$")
	if got.code != exitOK || !want.MatchString(got.stdout) {
		t.Errorf("got %+v, want %v", got, want)
	}
}

func TestHealth(t *testing.T) {
	status := http.StatusOK
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/base/healthz" {
			t.Errorf("got %s %s", r.Method, r.URL)
		}
		if status != http.StatusOK {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		if status != http.StatusOK {
			io.WriteString(w, `{"title":"Bad gateway","detail":"nobody answers"}`)
		}
	})
	runCLI(t, "health", "--url", url+"/base").want(t, exitOK, "", "")
	status = http.StatusBadGateway
	runCLI(t, "health", "--url", url+"/base").want(t, exitFailure, "",
		"not healthy: the server answered 502 Bad gateway: nobody answers")
}

func TestHealthWithoutServer(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	runCLI(t, "health", "--url", server.URL).want(t, exitFailure, "", "not healthy: dial tcp")
}
