package main

import (
	"io"
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

// TestPushStep: row 338 of docs/ERRORS.md, for a step that is pushed; by the verb, which keeps it.
func TestPushStep(t *testing.T) {
	t.Parallel()
	const put = "alerts put orders --topic orders.> --step 1m@push"
	verb := func(url, command string) outcome {
		return runWith(t.Context(), []string{"TIDINGS_URL=" + url}, nil, strings.Fields(command)...)
	}
	t.Run("row 338: no pushes", func(t *testing.T) {
		url := serving(t, "--data-dir", t.TempDir())
		if got := verb(url, put); got.code != exitFailure || !strings.Contains(got.stderr, "--push-contact") {
			t.Errorf("%+v", got)
		}
	})
	url := serving(t, "--data-dir", t.TempDir(), "--push-contact", "mailto:ops@example.com")
	for _, command := range []string{put, "alerts mute orders 8h", "alerts mute orders 0s"} {
		got := verb(url, command)
		if got.code != exitOK || !strings.Contains(got.stdout, "\n  after 1m0s: push to devices\n") {
			t.Errorf("%s: %+v", command, got)
		}
	}
}

// TestPushTo: no deliveries flag lets a reader make the server send into its network; only --push-to does.
func TestPushTo(t *testing.T) {
	t.Parallel()
	const keys = `"keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",` +
		`"auth":"BTBZMqHH6r4Tts7J_aSIgg"}`
	for _, x := range []struct {
		flags  string
		want   int
		scheme string
	}{
		{"--deliver-to=127.0.0.1 --deliver-http --deliver-proxy", http.StatusUnprocessableEntity, "http"},
		{"--deliver-to=127.0.0.1 --deliver-http --deliver-proxy", http.StatusUnprocessableEntity, "https"},
		{"--push-to=127.0.0.1", http.StatusCreated, "http"},
	} {
		url := serving(t, append([]string{"--data-dir", t.TempDir(), "--push-contact", "mailto:ops@example.com"},
			strings.Fields(x.flags)...)...)
		resp, err := http.Post(url+"/v1/devices", "application/json", strings.NewReader(`{"subscription":{"endpoint":"`+
			x.scheme+`://127.0.0.1:9/",`+keys+`},"topics":["orders"],"page":"https://shop.example.com/"}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != x.want || strings.Contains(string(text), "--deliver") {
			t.Errorf("%s, %s: %d %s %v, want %d", x.flags, x.scheme, resp.StatusCode, text, err, x.want)
		}
	}
}
