package clients_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"testing"

	"tidings/internal/e2e"
)

// TestPush: the push service of web-push-testing accepts pushes, verifies the token with the key that the browser
// subscribed with, and decrypts with http_ece; an expired subscription is removed.
func TestPush(t *testing.T) {
	t.Parallel()
	path := e2e.Need(t, "node")
	packageVersion(t, "http_ece")
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	service := "http://localhost:" + port
	startProcess(t, exec.Command(path, "testdata/push.js", port)).awaitLine(t, "Server running")
	s := startServer(t, e2e.Options{Args: []string{"--push-to", "127.0.0.1/32", "--push-to", "::1/128",
		"--push-contact", "mailto:ops@example.com"}})

	var key struct {
		Public string `json:"public_key"`
	}
	exchange(t, http.MethodGet, s.URL()+"/v1/push", nil, &key)
	var subscribed struct {
		Data struct {
			Endpoint   string            `json:"endpoint"`
			Keys       map[string]string `json:"keys"`
			ClientHash string            `json:"clientHash"`
		}
	}
	exchange(t, http.MethodPost, service+"/subscribe", map[string]string{"userVisibleOnly": "true",
		"applicationServerKey": key.Public}, &subscribed)
	var device struct{ ID string }
	exchange(t, http.MethodPost, s.URL()+"/v1/devices", map[string]any{"topics": []string{"orders"},
		"page": "https://shop.example.com/", "subscription": map[string]any{"endpoint": subscribed.Data.Endpoint,
			"keys": subscribed.Data.Keys}}, &device)
	var event struct{ ID string }
	exchange(t, http.MethodPost, s.URL()+"/v1/topics/orders/events", map[string]int{"order": 1}, &event)

	var got struct {
		Data struct{ Messages []string }
	}
	e2e.Eventually(t, "message that the browser reads", func() bool {
		exchange(t, http.MethodPost, service+"/get-notifications", subscribed.Data, &got)
		return len(got.Data.Messages) > 0
	})
	var message struct {
		WebPush      int `json:"web_push"`
		Notification struct {
			Title, Navigate string
			Data            struct{ ID string }
		}
	}
	if err := json.Unmarshal([]byte(got.Data.Messages[0]), &message); err != nil || message.WebPush != 8030 ||
		message.Notification.Data.ID != event.ID || message.Notification.Navigate != "https://shop.example.com/" ||
		message.Notification.Title != "orders: 1 new event about orders" {
		t.Errorf("%q, %v", got.Data.Messages[0], err)
	}

	exchange(t, http.MethodPost, service+"/expire-subscription/"+subscribed.Data.ClientHash, nil, nil)
	s.Kill() // so that the next push need not wait for its pacing
	exchange(t, http.MethodPost, service+"/status", nil, nil)
	s.restart(t)
	exchange(t, http.MethodPost, s.URL()+"/v1/topics/orders/events", map[string]int{"order": 2}, &event)
	e2e.Eventually(t, "end of the device", func() bool {
		var list struct{ Devices []struct{ ID string } }
		exchange(t, http.MethodGet, s.URL()+"/v1/devices", nil, &list)
		return len(list.Devices) == 0
	})
}

// exchange sends JSON and decodes the response, unless into is nil.
func exchange(t *testing.T, method, url string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		text = nil
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s", resp.Status)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %s", method, url, err, answer)
	}
}
