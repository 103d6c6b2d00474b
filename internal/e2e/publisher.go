package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"

	"tidings/store"
)

// Publisher publishes messages to one topic, one after the other, and records the outcome of each. It belongs to one
// goroutine.
type Publisher struct {
	Number   int
	Topic    string
	Padding  int // bytes by which the data is larger than a Message
	Attempts []Attempt
}

// Publish publishes the next message. The error is nil only if it was stored.
func (p *Publisher) Publish(ctx context.Context, client *http.Client, url string) error {
	a := Attempt{Message: Message{Topic: p.Topic, Publisher: p.Number, Seq: len(p.Attempts)}}
	data, err := json.Marshal(struct {
		Message
		Padding string `json:"padding,omitempty"`
	}{a.Message, strings.Repeat(".", p.Padding)})
	if err == nil {
		a.ID, a.Outcome, err = Publish(ctx, client, url, p.Topic, data)
	}
	p.Attempts = append(p.Attempts, a)
	return err
}

// Publish publishes one event of JSON data.
func Publish(ctx context.Context, client *http.Client, url, topic string,
	data []byte) (store.ID, Outcome, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/topics/"+topic+"/events",
		bytes.NewReader(data))
	if err != nil {
		return store.ID{}, NotStored, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		outcome := Unknown
		if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
			outcome = NotStored // nothing was sent
		}
		return store.ID{}, outcome, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusCreated {
		// The status and this header are the acknowledgement, even if the rest is cut off.
		id, err := store.ParseID(path.Base(resp.Header.Get("Location")))
		return id, Stored, err
	}
	if err != nil {
		return store.ID{}, Unknown, err
	}
	var problem struct{ Code, Outcome string }
	if err := json.Unmarshal(body, &problem); err != nil {
		return store.ID{}, Unknown, fmt.Errorf("%s without a problem document: %w",
			resp.Status, err)
	}
	outcome := Unknown
	if problem.Outcome == "not_stored" {
		outcome = NotStored
	}
	return store.ID{}, outcome, fmt.Errorf("%s: %s", resp.Status, problem.Code)
}
