package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestPushOff: row 369 of docs/ERRORS.md.
func TestPushOff(t *testing.T) {
	t.Parallel()
	url := serving(t, "--data-dir", t.TempDir())
	for _, path := range []string{"/v1/push", "/v1/devices"} {
		t.Run("row 369: "+path, func(t *testing.T) {
			if status, text := fetch(t, url+path, ""); status != http.StatusNotFound ||
				!strings.Contains(text, `"not-found"`) || !strings.Contains(text, "--push-contact") {
				t.Errorf("%d %s", status, text)
			}
		})
	}
}
