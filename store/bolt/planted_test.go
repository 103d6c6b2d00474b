package bolt_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlantedBugs: what makes several logs one is needed, each part of it: without it a test fails. The bugs
// are compiled in, by an overlay.
func TestPlantedBugs(t *testing.T) {
	if os.Getenv("TIDINGS_FULL") == "" {
		t.Log("runs only with TIDINGS_FULL=1: it compiles the tests again for each bug")
		return
	}
	for name, bug := range map[string]struct{ right, wrong, caught string }{
		"a plan kept over another's trim": {"c.looking.Lock()\n\t\tdefer c.looking.Unlock()", "_ = c",
			"TestMirrorShared/shared/a_plan_and_the_trims_of_another"},
		"a retry that does not see the attempt in flight": {"leaveOpen(a.decided.Keys)", "leaveOpen(nil)",
			"TestMirrorOpenOutcome"},
		"a refusal that is believed anywhere": {"if !refuses(batch) {", "if true {",
			"TestMirrorShared/shared/a_refusal_holds_at_the_end"},
		"an outcome that is not known taken for a refusal": {
			"case !a.open && (errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrUnavailable)):",
			"default:", "TestMirrorShared/shared/answers_that_are_lost"},
		"a commit without room here that is refused": {"!errors.Is(err, store.ErrNoSpace) {\n\t\t\treturn err",
			"err != nil {\n\t\t\treturn err", "TestMirrorDiskFull"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := filepath.Abs("sequence.go")
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), bug.right); n != 1 {
				t.Fatalf("%q stands %d times in sequence.go, want once", bug.right, n)
			}
			planted, overlay := filepath.Join(t.TempDir(), "sequence.go"), filepath.Join(t.TempDir(), "overlay.json")
			text, err := json.Marshal(map[string]any{"Replace": map[string]string{file: planted}})
			if err != nil {
				t.Fatal(err)
			}
			for path, content := range map[string]string{overlay: string(text),
				planted: strings.Replace(string(source), bug.right, bug.wrong, 1)} {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			test, _, _ := strings.Cut(bug.caught, "/")
			out, err := exec.Command("go", "test", "-timeout", "60s", "-run",
				"^"+strings.ReplaceAll(bug.caught, "/", "$/^")+"$",
				"-overlay", overlay, ".").
				CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Errorf("want a failure of %s, got %v:\n%s", bug.caught, err, out)
			}
		})
	}
}
