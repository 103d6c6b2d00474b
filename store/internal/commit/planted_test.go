package commit_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"tidings/store/storetest"
)

// TestPlantedBugs proves that both engines take their admission from Decide: a bug planted there, and
// nowhere else, breaks the contract of each. An overlay compiles the bugs in, and both engines' tests with
// them: most bugs are planted with TIDINGS_FULL=1 only.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the engines' tests again for each bug")
	}
	quick := []string{"an end not seen within the batch", "a mark moved back"}
	for name, bug := range map[string]struct{ right, wrong, caught string }{
		"a key without its fingerprint": {
			"key.Fingerprint, ids[0]", "[16]byte{}, ids[0]", "once"},
		"an end not seen within the batch": {
			"d.ended[number] = id", "_ = number", "concurrent/nothing_follows"},
		"a condition that does not see its own commit": {
			"e.Topic == topic.Number", "e.ID.IsZero()", "condition/of_many"},
		"a condition judged without the topic": {
			"topic.Newest != *r.newest", "d.last != *r.newest", "condition"},
		"a slot that does not see its own commit": {
			"subject}] = id", "subject}] = d.view.Slot(topic, subject)", "slots/of_many"},
		"a slot that is not emptied": {
			"id = store.ID{}", "_ = id", "slots/what_is_in"},
		"a delivery that does not see its own commit": {
			"c.Name == name", "c.Name == \"\"", "deliveries/of_many"},
		"a mark moved back": {
			"m.ID.Before(old.ID)", "old.ID == m.ID", "marks"},
	} {
		if os.Getenv("TIDINGS_FULL") == "" && !slices.Contains(quick, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			overlay := storetest.Overlay(t, storetest.Plant{File: "decide.go", Right: bug.right, Wrong: bug.wrong})
			for engine, test := range map[string]string{
				"tidings/store/internal/commit": "TestToyConformance",
				"tidings/store/bolt":            "TestBoltConformance",
			} {
				// More than once: some bugs show only between requests that share a commit.
				run := exec.Command("go", "test", "-count", "5", "-run", "^"+test+"$/"+bug.caught,
					"-overlay", overlay, engine)
				out, err := run.CombinedOutput()
				if err == nil || !strings.Contains(string(out), "--- FAIL: "+test+"/"+bug.caught) {
					t.Errorf("%s: want a failure of %s, got %v:\n%s", engine, bug.caught, err, out)
				}
			}
		})
	}
}
