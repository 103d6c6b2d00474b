package clients_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"testing"

	"tidings/internal/e2e"
)

// TestHooks: the official library of Standard Webhooks for Node verifies what a delivery sends, with each of the keys
// while one replaces the other, and refuses what is signed with neither.
func TestHooks(t *testing.T) {
	t.Parallel()
	path := e2e.Need(t, "node")
	packageVersion(t, "standardwebhooks")
	const older = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	const newer = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	s := startServer(t, e2e.Options{Args: []string{"--deliver-to", "127.0.0.1/32", "--deliver-http"}})
	receiver := func(secret string) (*process, string) {
		_, port, err := net.SplitHostPort(freeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		p := startProcess(t, exec.Command(path, "testdata/hooks.js", port, secret))
		p.awaitLine(t, "listening")
		return p, "http://127.0.0.1:" + port
	}
	first, firstURL := receiver(older)
	second, secondURL := receiver(newer)
	for name, url := range map[string]string{"first": firstURL, "second": secondURL} {
		for _, secret := range []string{older, newer} { // the second replaces the first: both sign for a day
			exchange(t, http.MethodPut, s.URL()+"/v1/deliveries/"+name, map[string]any{"url": url,
				"topics": []string{"orders"}, "secret": secret}, nil)
		}
	}
	var event struct{ ID string }
	exchange(t, http.MethodPost, s.URL()+"/v1/topics/orders/events", map[string]string{"name": "Zoë"}, &event)
	first.awaitLine(t, "verified "+event.ID)
	second.awaitLine(t, "verified "+event.ID)

	third, thirdURL := receiver(older)
	exchange(t, http.MethodPut, s.URL()+"/v1/deliveries/third", map[string]any{"url": thirdURL,
		"topics": []string{"orders"}, "secret": newer}, nil)
	exchange(t, http.MethodPost, s.URL()+"/v1/topics/orders/events", map[string]int{"order": 2}, &event)
	third.awaitLine(t, fmt.Sprintf("refused %s: No matching signature found", event.ID))
}
