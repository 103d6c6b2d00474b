package main

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// keptVariables are the variables that verbs other than serve keep.
var keptVariables = []string{"TIDINGS_URL", "TIDINGS_TOKEN", "TIDINGS_DATA_DIR", "TIDINGS_JWT_KEY",
	"TIDINGS_JWT_KEY_FILE"}

// verbs returns the model of every verb.
func verbs(t *testing.T) []*kong.Node {
	t.Helper()
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Children
}

// TestHelpNamesEveryFlagAndVariable: every flag is documented; serve states once that each flag has a variable, the
// other verbs name it at the flags that keep theirs.
func TestHelpNamesEveryFlagAndVariable(t *testing.T) {
	const rule = "Every flag of serve can be given as an environment variable: --data-dir is " +
		"TIDINGS_DATA_DIR."
	for _, verb := range verbs(t) {
		help := runCLI(t, verb.Name, "--help")
		if help.code != exitOK {
			t.Errorf("%s --help: exit code %d, stderr %s", verb.Name, help.code, help.stderr)
		}
		text := strings.Join(strings.Fields(help.stdout), " ")
		if strings.Contains(text, rule) != (verb.Name == "serve") {
			t.Errorf("%s --help: want the rule of variables in serve's alone", verb.Name)
		}
		for _, flag := range verb.Flags {
			name, _ := variableOf(flag)
			if !strings.Contains(text, "--"+flag.Name) || flag.Help == "" {
				t.Errorf("%s --help lacks --%s or its help", verb.Name, flag.Name)
			}
			want := verb.Name != "serve" && slices.Contains(keptVariables, name)
			if strings.Contains(text, "($"+name+")") != want {
				t.Errorf("%s --help names $%s: %t, want %t", verb.Name, name, !want, want)
			}
		}
	}
}

// TestServeGroupsItsFlags: each flag is in a group, and the flags of a group are declared together, so that --help
// and docs/CONFIGURATION.md have the same order.
func TestServeGroupsItsFlags(t *testing.T) {
	var groups []string
	for _, verb := range verbs(t) {
		for _, flag := range verb.Flags {
			if verb.Name != "serve" {
				continue
			}
			if flag.Group == nil {
				t.Fatalf("--%s has no group", flag.Name)
			}
			groups = append(groups, flag.Group.Title)
		}
	}
	want := []string{"Network:", "TLS:", "Access:", "Storage:", "Cluster:", "Retention:", "Streams:", "Limits:",
		"Deliveries:", "Observability:"}
	if got := slices.Compact(groups); !slices.Equal(got, want) {
		t.Errorf("the groups are %q, want %q", got, want)
	}
}

// TestVariableOfOneShotFlagWarns: the variable still counts for one release.
func TestVariableOfOneShotFlagWarns(t *testing.T) {
	const id = "01K5ZM00000000000000000000"
	var got string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.RequestURI()
		io.WriteString(w, `{"deleted":1}`)
	})
	warning := "tidings: warning: TIDINGS_BEFORE stops working in the next release; " +
		"use --before instead\n"
	trim := []string{"trim", "--url", url, "orders"}
	runWith(t.Context(), []string{"TIDINGS_BEFORE=" + id}, nil, trim...).want(t, exitOK, "1\n",
		warning)
	if want := "/v1/topics/orders/trim?before=" + id; got != want {
		t.Errorf("trim asked for %s, want %s", got, want)
	}
	// the flag takes precedence: no warning
	runWith(t.Context(), []string{"TIDINGS_BEFORE=x"}, nil, append(trim, "--before", id)...).
		want(t, exitOK, "1\n", "")

	s := newStreamServer(t)
	tail := runWith(t.Context(), []string{"TIDINGS_LIMIT=0", "TIDINGS_JSON=false"}, nil, "tail",
		"--url", s.url).ended(t, exitOK)
	if strings.Count(tail.stderr, "stops working") != 2 {
		t.Errorf("tail says %q, want a warning for each variable", tail.stderr)
	}

	dir, _ := storedLog(t, "1")
	verify := runWith(t.Context(), []string{"TIDINGS_JSON=true"}, nil, "verify", "--data-dir",
		dir).ended(t, exitOK)
	if !strings.HasPrefix(verify.stdout, "{") ||
		!strings.Contains(verify.stderr, "TIDINGS_JSON stops working") {
		t.Errorf("verify printed %q, said %q, want JSON and a warning", verify.stdout,
			verify.stderr)
	}
}

// TestVariableThatFailsAVerbWarns: the error names a flag that nobody gave.
func TestVariableThatFailsAVerbWarns(t *testing.T) {
	got := runWith(t.Context(), []string{"TIDINGS_SKIP_LINES=1"}, nil, "publish", "orders", "1").
		ended(t, exitUsage)
	if !strings.Contains(got.stderr, "TIDINGS_SKIP_LINES stops working") ||
		!strings.Contains(got.stderr, "--skip-lines: only with --ndjson") {
		t.Errorf("stderr is %q, want the warning and the error", got.stderr)
	}
}

// TestVariablesThatStay: those of serve's flags, and those that select a log, a server or an identity.
func TestVariablesThatStay(t *testing.T) {
	var environ []string
	for _, verb := range verbs(t) {
		for _, flag := range verb.Flags {
			if name, ok := variableOf(flag); ok && verb.Name == "serve" && flag.Default != "" {
				environ = append(environ, name+"="+flag.Default)
			}
		}
	}
	environ = append(environ, "TIDINGS_JWT_KEY="+jwtSecret, "TIDINGS_ALLOW_HOST=example.com")
	started := configRow{environ: environ}.stopped(t).ended(t, exitOK)
	if strings.Contains(started.stderr, "tidings: warning") {
		t.Errorf("serve warns: %s", started.stderr)
	}

	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("Authorization is %q", got)
		}
	})
	dir, _ := storedLog(t, "1")
	key := write(t, "key", []byte(jwtSecret), 0o600)
	for _, tt := range []struct {
		verb    string
		environ []string
	}{
		{"health", []string{"TIDINGS_URL=" + url, "TIDINGS_TOKEN=secret"}},
		{"export", []string{"TIDINGS_DATA_DIR=" + dir}},
		{"token", []string{"TIDINGS_JWT_KEY=" + jwtSecret}},
		{"token", []string{"TIDINGS_JWT_KEY_FILE=" + key}},
	} {
		if got := runWith(t.Context(), tt.environ, nil, tt.verb).ended(t, exitOK); got.stderr != "" {
			t.Errorf("%s with %v says %q", tt.verb, tt.environ, got.stderr)
		}
	}
}
