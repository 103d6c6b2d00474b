package bolt_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"tidings/store/storetest"
)

// TestPlantedBugs: what makes several logs one is needed, each part of it: without it a test fails. The bugs
// are compiled in, by an overlay.
func TestPlantedBugs(t *testing.T) {
	if os.Getenv("TIDINGS_FULL") == "" {
		t.Skip("compiles the tests again for each bug: TIDINGS_FULL=1")
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
			test, _, _ := strings.Cut(bug.caught, "/")
			out, err := exec.Command("go", "test", "-timeout", "60s", "-run",
				"^"+strings.ReplaceAll(bug.caught, "/", "$/^")+"$",
				"-overlay", storetest.Overlay(t, "sequence.go", bug.right, bug.wrong), ".").CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Errorf("want a failure of %s, got %v:\n%s", bug.caught, err, out)
			}
		})
	}
}
