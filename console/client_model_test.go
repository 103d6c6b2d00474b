package console_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// TestClientModel runs the client under Node in a model of browsers, on fixed scenes and on random schedules;
// client/test says what is modelled. Without TIDINGS_SEED the short run is always the same, the long one never.
func TestClientModel(t *testing.T) {
	seed, schedules := "1", 500
	if os.Getenv("TIDINGS_FULL") == "1" {
		seed, schedules = strconv.FormatInt(time.Now().Unix(), 10), 50_000
	}
	if given := os.Getenv("TIDINGS_SEED"); given != "" {
		seed = given
	}
	t.Logf("repeat with TIDINGS_SEED=%s", seed)
	// os.ReadDir makes a change there invalidate a cached result
	files, err := os.ReadDir("client/test")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--test"}
	for _, file := range files {
		if strings.HasSuffix(file.Name(), ".test.js") {
			args = append(args, "test/"+file.Name())
		}
	}
	cmd := exec.CommandContext(t.Context(), e2e.Need(t, "node"), args...)
	cmd.Dir = "client"
	cmd.Env = append(os.Environ(), "TIDINGS_SEED="+seed,
		"TIDINGS_SCHEDULES="+strconv.Itoa(schedules))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}
