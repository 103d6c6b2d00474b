package examples_test

import (
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"tidings/internal/e2e"
)

// TestClaim: of eight who try to take an order at once, one gets it, and all learn who.
func TestClaim(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not there", tool)
		}
	}
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: t.TempDir()})
	for _, order := range []string{"1001", "1002", "1003"} {
		resp, err := http.Post(server.URL()+"/v1/topics/orders."+order+"/events?type=order.created",
			"application/json", strings.NewReader(`{"total":"79.87"}`))
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
		said, won := make([]string, 8), make([]bool, 8)
		var all sync.WaitGroup
		for i := range said {
			all.Go(func() {
				cmd := exec.CommandContext(t.Context(), "claim/claim.sh", order, string(rune('a'+i)))
				cmd.Env = append(e2e.Environ(), "TIDINGS_URL="+server.URL(), "NO_PROXY=127.0.0.1")
				out, err := cmd.Output()
				said[i], won[i] = string(out), err == nil
			})
		}
		all.Wait()
		winner := ""
		for i := range said {
			if won[i] {
				winner += string(rune('a' + i))
			}
		}
		for i, line := range said {
			if len(winner) != 1 || strings.TrimSpace(line) != winner+" has order "+order {
				t.Errorf("order %s: %q won, %c is told %q", order, winner, 'a'+i, line)
			}
		}
	}
}
