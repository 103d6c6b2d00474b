package deliver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings/internal/outbound"
	"tidings/internal/wire"
	"tidings/store"
)

// message is the content of one request.
type message struct {
	id          string // of an event, the event's ID
	kind        string // its type
	topic       string // "" if it is not an event
	contentType string
	body        []byte

	events []store.Event // the events it is about
	data   any           // if it is not an event
	replay string        // its number; "" if sent by the cursor
}

// through is the last of its events, unless the message has its ID.
func (m *message) through() (last store.ID) {
	if n := len(m.events); n > 0 && m.events[n-1].ID.String() != m.id {
		last = m.events[n-1].ID
	}
	return last
}

const mediaCloudEvent = "application/cloudevents+json"

// eventMessage is an event as its delivery sends it.
func eventMessage(e *store.Event, f Format) message {
	m := message{id: e.ID.String(), kind: e.Type, topic: e.Topic, events: []store.Event{*e}}
	if f == Data {
		m.contentType, m.body = e.ContentType, e.Data
	} else {
		m.contentType, m.body = mediaCloudEvent, wire.AppendEnvelope(nil, e)
	}
	return m
}

// ownMessage is a message that is not an event of the log. In a CloudEvent its source is the delivery.
func ownMessage(id, kind, delivery string, f Format, data any) message {
	m := message{id: id, kind: kind, contentType: "application/json", body: wire.Marshal(data), data: data}
	if f != Data {
		m.contentType = mediaCloudEvent
		m.body = wire.Marshal(struct {
			SpecVersion string          `json:"specversion"`
			ID          string          `json:"id"`
			Source      string          `json:"source"`
			Type        string          `json:"type"`
			Time        string          `json:"time"`
			ContentType string          `json:"datacontenttype"`
			Data        json.RawMessage `json:"data"`
		}{"1.0", id, "/v1/deliveries/" + url.PathEscape(delivery), kind,
			time.Now().UTC().Format(wire.TimeFormat), "application/json", m.body})
	}
	return m
}

// answer is the outcome of an attempt.
type answer struct {
	status     int // 0: no answer
	failure    string
	retryAfter time.Duration // as the receiver asks; 0: it does not
	config     bool          // sending is refused here: retrying alone does not help
}

func (a *answer) ok() bool { return a.failure == "" }

const (
	maxRetryAfter = 24 * time.Hour
	maxFailure    = 300      // bytes
	maxAnswer     = 16 << 10 // of its body are read, so that the connection can be reused
)

// attempt sends a message once, in its own turn.
func (s *Sender) attempt(ctx context.Context, name string, to target, m message) answer {
	end, err := s.turns.take(ctx)
	if err != nil {
		return answer{failure: failureOf(err)}
	}
	defer end()
	if !s.o.May() {
		select {
		case <-ctx.Done():
		case <-s.ctx.Done():
		}
		return answer{failure: "another node is sending now"}
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return to.recipient.receiver().send(ctx, s, name, &to, &m)
}

// webhook is a service that takes events.
type webhook struct{}

func (webhook) traits() *traits {
	return &traits{takes: []string{"format", "secret"}, secret: secretForm, key: func(text string) error {
		_, err := parseSecret(text)
		return err
	}}
}

func (webhook) send(ctx context.Context, s *Sender, name string, to *target, m *message) answer {
	a, _ := s.post(ctx, to.URL, m.body, func(h http.Header) error { return s.fill(h, name, to, m) })
	return a
}

// post makes a request with the headers that fill sets, judges the status, and returns the first bytes of the answer.
func (s *Sender) post(ctx context.Context, to string, body []byte, fill func(http.Header) error) (answer, []byte) {
	return post(ctx, s.o.Guard, s.client, to, body, func(req *http.Request) error {
		req.Header.Set("User-Agent", s.agent())
		return fill(req.Header)
	})
}

// post makes a request that fill completes, judges the status, and returns the first bytes of the answer.
func post(ctx context.Context, guard *outbound.Guard, client *http.Client, to string, body []byte,
	fill func(*http.Request) error) (answer, []byte) {
	u, err := guard.CheckURL(to)
	if err != nil {
		return answer{failure: failureOf(err), config: true}, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return answer{failure: "cannot build the request", config: true}, nil
	}
	if err := fill(req); err != nil {
		return answer{failure: failureOf(err), config: true}, nil
	}
	resp, err := client.Do(req)
	if err != nil {
		var refused *outbound.Refused
		return answer{failure: failureOf(err), config: errors.As(err, &refused)}, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // a partial body will do
	a := answer{status: resp.StatusCode}
	if a.status/100 != 2 {
		a.failure = explain(resp)
		a.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	return a, text
}

// agent is the program's User-Agent.
func (s *Sender) agent() string { return agentOf(s.o.Version) }

func agentOf(version string) string { return strings.TrimSuffix("Tidings/"+version, "/") }

// fill sets the headers of Standard Webhooks 1.0.
func (s *Sender) fill(h http.Header, name string, to *target, m *message) error {
	at := time.Now()
	signatures, err := sign(to, m, at)
	if err != nil {
		return err
	}
	h.Set("Webhook-Id", m.id)
	h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("Webhook-Signature", signatures)
	h.Set("Tidings-Delivery", headerText(name))
	h.Set("Tidings-Type", headerText(m.kind))
	if m.topic != "" {
		h.Set("Tidings-Topic", m.topic)
	}
	if m.replay != "" {
		h.Set("Tidings-Replay", m.replay)
	}
	if _, _, err := mime.ParseMediaType(m.contentType); err == nil && headerText(m.contentType) == m.contentType {
		h.Set("Content-Type", m.contentType)
	} else if len(m.body) > 0 {
		h.Set("Content-Type", "application/octet-stream")
	}
	return nil
}

// headerText encodes a text for a header: percent-encoded where it is not printable ASCII, as in CloudEvents HTTP 1.0.2
// §3.1.3.2.
func headerText(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch edge := i == 0 || i == len(text)-1; {
		case c > ' ' && c < 0x7f && c != '%', c == ' ' && !edge:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// secretForm describes a secret.
const secretForm = `"whsec_" and the base64 of 24 to 64 random bytes`

// parseSecret returns the key in a secret (Standard Webhooks 1.0, "Signature scheme"), or an *InvalidError.
func parseSecret(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, &InvalidError{"secret", "expected " + secretForm}
	}
	return key, nil
}

// sign returns the signatures by all valid secrets.
func sign(to *target, m *message, at time.Time) (string, error) {
	secrets := []string{to.Secret}
	if to.Previous != "" && at.Before(to.Until) {
		secrets = append(secrets, to.Previous)
	}
	var all []string
	for _, text := range secrets {
		key, err := parseSecret(text)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.", m.id, at.Unix())
		mac.Write(m.body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " "), nil
}

// failureOf is an error without the URL, which is a secret.
func failureOf(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", attemptTimeout)
	}
	return clean(err.Error())
}

// clean makes a text from elsewhere one harmless line.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxFailure {
		text = strings.ToValidUTF8(text[:maxFailure], "") + "…"
	}
	return text
}

// refusesEvent are the statuses by which a receiver rejects this event: it is retried at the longest interval, because
// the receiver's next release may accept it.
var refusesEvent = map[int]bool{400: true, 404: true, 413: true, 415: true, 422: true}

// explain says what an unsuccessful answer means.
func explain(resp *http.Response) string {
	answered := "the receiver answered " + clean(resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusGone:
		return answered + ": it wants no more requests"
	case refusesEvent[code]:
		return answered + ": it rejects this event"
	case code/100 == 3:
		return answered + ": redirects are not followed; set the final URL"
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return answered + ": check the secret on both sides, and the receiver's clock"
	default:
		return answered
	}
}

// retryAfter parses the header (RFC 9110 §10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}
