package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// An event has what a list of alerts shows, not all that the shop knows about its customer: the log keeps it, and
// browsers get it.

func wooSignature(h http.Header) ([]byte, error) {
	return base64.StdEncoding.DecodeString(h.Get("X-WC-Webhook-Signature"))
}

// isWooPing recognises what WooCommerce sends, unsigned, when a webhook is saved. It expects 200.
func isWooPing(r *http.Request, body []byte) bool {
	return r.Header.Get("X-WC-Webhook-Topic") == "" && bytes.HasPrefix(body, []byte("webhook_id="))
}

// wooDraft turns the topics order.created, order.updated, order.deleted and order.restored into events of these types.
func wooDraft(h http.Header, body []byte) (d draft, err error) {
	kind := h.Get("X-WC-Webhook-Topic")
	if !strings.HasPrefix(kind, "order.") {
		return d, nil
	}
	var order struct {
		ID       int    `json:"id"`
		Number   string `json:"number,omitempty"` // a deleted order has only its ID
		Status   string `json:"status,omitempty"`
		Total    string `json:"total,omitempty"`
		Currency string `json:"currency,omitempty"`
	}
	if err := json.Unmarshal(body, &order); err != nil {
		return d, err
	}
	// WooCommerce builds the ID from the webhook and the second: two orders in one second share it.
	sum := sha256.Sum256(body)
	d = draft{key: h.Get("X-WC-Webhook-Delivery-ID") + "-" + hex.EncodeToString(sum[:8]),
		topic: "orders", kind: kind}
	d.data, err = json.Marshal(order)
	return d, err
}

func gitHubSignature(h http.Header) ([]byte, error) {
	text, ok := strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
	if !ok {
		return nil, errors.New("there is no signature")
	}
	return hex.DecodeString(text)
}

// gitHubDraft turns issues into tickets, with types such as issue.opened, and comments on them into comments, with
// types such as comment.created.
func gitHubDraft(h http.Header, body []byte) (d draft, err error) {
	var delivery struct {
		Action string
		Sender struct{ Login string }
		Issue  struct {
			Number int
			Title  string
		}
		Comment struct {
			HTMLURL string `json:"html_url"`
		}
	}
	if err := json.Unmarshal(body, &delivery); err != nil {
		return d, err
	}
	d.key = h.Get("X-GitHub-Delivery") // the same for a redelivery
	switch h.Get("X-GitHub-Event") {
	case "issues":
		d.topic, d.kind = "tickets", "issue."+delivery.Action
	case "issue_comment":
		d.topic, d.kind = "comments", "comment."+delivery.Action
	}
	d.data, err = json.Marshal(struct {
		Number int    `json:"number"`
		Title  string `json:"title"`
		By     string `json:"by"`
		URL    string `json:"url,omitempty"`
	}{delivery.Issue.Number, delivery.Issue.Title, delivery.Sender.Login, delivery.Comment.HTMLURL})
	return d, err
}
