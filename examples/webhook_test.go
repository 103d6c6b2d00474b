package examples_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	wooSecret    = "secret of the shop"
	gitHubSecret = "secret of the repository"
	wooOrder     = `{"id":727,"number":"727","status":"processing","currency":"EUR","total":"29.35","billing":{"first_name":"Ada","phone":"555"}}`
	gitHubIssue  = `{"action":"opened","issue":{"number":7,"title":"It does not start","user":{"login":"ada"}},"sender":{"login":"ada"}}`
	gitHubSpoken = `{"action":"created","issue":{"number":7,"title":"It does not start"},"comment":{"html_url":"https://example.com/7#1","body":"Mine too"},"sender":{"login":"bob"}}`
)

// TestWebhook: a delivery with the right signature is one event, however often it is delivered; the shop gets its 200
// when it is on disk, and not before.
func TestWebhook(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	env := []string{"TIDINGS_URL=" + s.url(), "WOOCOMMERCE_SECRET=" + wooSecret,
		"GITHUB_SECRET=" + gitHubSecret}
	hasty := webhook{t, startProgram(t, "webhook", env, "-patience", "100ms")}
	hasty.post(http.StatusServiceUnavailable, "/woocommerce",
		woo("order.created", "d1", wooOrder), wooOrder)
	hasty.post(http.StatusServiceUnavailable, "/github",
		gitHub("issues", "g1", gitHubIssue), gitHubIssue)

	w := webhook{t, startProgram(t, "webhook", env, "-patience", "50s")}
	s.start(t, nil)
	w.post(http.StatusOK, "/woocommerce", woo("order.created", "d1", wooOrder), wooOrder)
	s.Kill()
	s.start(t, nil)
	// delivered again
	w.post(http.StatusOK, "/woocommerce", woo("order.created", "d1", wooOrder), wooOrder)

	second,
		deleted := `{"id":728,"number":"728","status":"processing","currency":"EUR","total":"5.00"}`,
		`{"id":727}`
	// in the same second
	w.post(http.StatusOK, "/woocommerce", woo("order.created", "d1", second), second)
	w.post(http.StatusOK, "/woocommerce", woo("order.deleted", "d2", deleted), deleted)
	w.post(http.StatusOK, "/github", gitHub("issues", "g1", gitHubIssue), gitHubIssue)
	w.post(http.StatusOK, "/github", gitHub("issues", "g1", gitHubIssue), gitHubIssue)
	w.post(http.StatusOK, "/github", gitHub("issue_comment", "g2", gitHubSpoken), gitHubSpoken)

	// What is not an event gets 200, too: otherwise the shop would disable the webhook.
	w.post(http.StatusOK, "/woocommerce",
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "webhook_id=1")
	w.post(http.StatusOK, "/woocommerce", woo("product.updated", "d3", "{}"), "{}")
	w.post(http.StatusOK, "/github", gitHub("ping", "g3", `{"zen":"Keep it simple"}`),
		`{"zen":"Keep it simple"}`)

	forged := woo("order.created", "d4", wooOrder)
	w.post(http.StatusUnauthorized, "/woocommerce", forged, second)
	w.post(http.StatusUnauthorized, "/woocommerce",
		http.Header{"X-Wc-Webhook-Topic": {"order.created"}}, wooOrder)
	w.post(http.StatusUnauthorized, "/github", gitHub("issues", "g4", gitHubIssue), gitHubSpoken)
	w.post(http.StatusUnauthorized, "/github",
		http.Header{"X-Github-Event": {"issues"}}, gitHubIssue)
	w.post(http.StatusUnauthorized, "/github", woo("order.created", "d5", wooOrder), wooOrder)
	w.post(http.StatusBadRequest, "/github", gitHub("issues", "g5", "no JSON"), "no JSON")

	var got []string
	for _, topic := range []string{"orders", "tickets", "comments"} {
		for _, e := range readTopic(t, s.url(), "", topic) {
			got = append(got, fmt.Sprintf("%s %s %s", topic, e.Type, e.Data))
		}
	}
	want := []string{
		`orders order.created {"id":727,"number":"727","status":"processing","total":"29.35","currency":"EUR"}`,
		`orders order.created {"id":728,"number":"728","status":"processing","total":"5.00","currency":"EUR"}`,
		`orders order.deleted {"id":727}`,
		`tickets issue.opened {"number":7,"title":"It does not start","by":"ada"}`,
		`comments comment.created {"number":7,"title":"It does not start","by":"bob","url":"https://example.com/7#1"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// webhook is the running example.
type webhook struct {
	t   *testing.T
	url string
}

func (w webhook) post(want int, path string, header http.Header, body string) {
	w.t.Helper()
	if resp, content := send(w.t, http.MethodPost, w.url+path, header,
		body); resp.StatusCode != want {
		w.t.Errorf("%s is answered %s: %s, want %d", path, resp.Status, content, want)
	}
}

// woo is what WooCommerce sends with a body.
func woo(topic, delivery, body string) http.Header {
	return http.Header{
		"X-Wc-Webhook-Topic":       {topic},
		"X-Wc-Webhook-Delivery-Id": {delivery},
		"X-Wc-Webhook-Signature":   {base64.StdEncoding.EncodeToString(sign(wooSecret, body))},
	}
}

// gitHub is what GitHub sends with a body.
func gitHub(event, delivery, body string) http.Header {
	return http.Header{
		"X-Github-Event":      {event},
		"X-Github-Delivery":   {delivery},
		"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(sign(gitHubSecret, body))},
	}
}

func sign(secret, body string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return mac.Sum(nil)
}
