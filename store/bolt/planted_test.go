package bolt_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"tidings/store/storetest"
)

// TestPlantedBugs: each part of what makes several logs one is needed: without it a test fails. The bugs are
// compiled in by an overlay.
func TestPlantedBugs(t *testing.T) {
	if os.Getenv("TIDINGS_FULL") == "" {
		t.Skip("compiles the tests again for each bug: TIDINGS_FULL=1")
	}
	sequence := func(right, wrong string) []storetest.Plant {
		return []storetest.Plant{{File: "sequence.go", Right: right, Wrong: wrong}}
	}
	for name, bug := range map[string]struct {
		plants []storetest.Plant
		caught string
	}{
		"a plan kept over another's trim": {[]storetest.Plant{
			{File: "sequence.go", Right: "c.looking.Lock()\n\t\tdefer c.looking.Unlock()", Wrong: "_ = c"},
			{File: "trim.go", Right: "if s.void != nil && s.void() {", Wrong: "if false {"},
		}, "TestMirrorShared/shared/a_plan_and_the_trims_of_another"},
		"a retry that does not see the attempt in flight": {
			sequence("leaveOpen(a.decided.Keys)", "leaveOpen(nil)"), "TestMirrorOpenOutcome"},
		"a refusal that is believed anywhere": {
			sequence("if !refuses(batch) {", "if true {"), "TestMirrorShared/shared/a_refusal_holds_at_the_end"},
		"an outcome that is not known taken for a refusal": {sequence(
			"case !a.open && (errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrUnavailable)):",
			"default:"), "TestMirrorShared/shared/answers_that_are_lost"},
		"a commit without room here that is refused": {
			sequence("!errors.Is(err, store.ErrNoSpace) {\n\t\t\treturn err", "err != nil {\n\t\t\treturn err"),
			"TestMirrorDiskFull"},
	} {
		t.Run(name, func(t *testing.T) {
			test, _, _ := strings.Cut(bug.caught, "/")
			out, err := exec.Command("go", "test", "-timeout", "60s", "-run",
				"^"+strings.ReplaceAll(bug.caught, "/", "$/^")+"$",
				"-overlay", storetest.Overlay(t, bug.plants...), ".").CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Errorf("want a failure of %s, got %v:\n%s", bug.caught, err, out)
			}
		})
	}
}
