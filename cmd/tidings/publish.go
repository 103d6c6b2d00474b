package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"tidings/store"
)

type publishCmd struct {
	client

	Topic       string  `arg:"" optional:"" help:"Topic to publish to."`
	Data        *string `arg:"" optional:"" help:"The event's data (default: read from standard input)."`
	Type        string  `help:"The event's type (default: message)."`
	ContentType string  `help:"Media type of the data (default: application/json if it is valid JSON, else text/plain in UTF-8)."`
	IfNewest    string  `placeholder:"ID" help:"Publish only if this is the topic's newest event ever; none: only if the topic never had one."`

	NDJSON    string `name:"ndjson" placeholder:"FILE" help:"Publish each line of FILE (- is standard input) as an event: {\"topic\":…,\"type\":…,\"data\":…}; type is optional."`
	SkipLines int    `help:"Skip this many lines at the start of the --ndjson file." default:"0"`
}

// Validate is called by kong after parsing.
func (c *publishCmd) Validate() error {
	switch {
	case c.NDJSON == "" && c.Topic == "":
		return errors.New("expected a TOPIC or --ndjson")
	case c.NDJSON != "" && (c.Topic != "" || c.Type != "" || c.ContentType != "" || c.IfNewest != ""):
		return errors.New(
			"--ndjson excludes TOPIC, --type, --content-type and --if-newest: topics and types are in " +
				"the lines, data is JSON")
	case c.NDJSON == "" && c.SkipLines != 0:
		return errors.New("--skip-lines: only with --ndjson")
	case c.SkipLines < 0:
		return fmt.Errorf("--skip-lines: expected 0 or more but got %d", c.SkipLines)
	case c.NDJSON != "":
		return nil
	case c.IfNewest != "" && c.IfNewest != noEvent:
		if _, err := store.ParseID(c.IfNewest); err != nil {
			return fmt.Errorf("--if-newest: expected an ID or %s: %w", noEvent, err)
		}
	}
	return store.ValidateTopic(c.Topic)
}

func (c *publishCmd) Run(ctx context.Context, app *app) error {
	if c.NDJSON != "" {
		return c.publishLines(ctx, app)
	}
	data, err := c.data(ctx, app)
	if err != nil {
		return err
	}
	d := draft{topic: c.Topic, eventType: c.Type, contentType: c.ContentType, ifNewest: c.IfNewest,
		data: data}
	if d.contentType == "" {
		if d.contentType, err = contentTypeOf(data); err != nil {
			return usageError{err}
		}
	}
	id, err := c.post(ctx, app.httpClient(), d)
	if err != nil {
		return err
	}
	return app.print("%s", id)
}

func (c *publishCmd) data(ctx context.Context, app *app) ([]byte, error) {
	if c.Data != nil {
		return []byte(*c.Data), nil
	}
	data, err := io.ReadAll(untilDone(ctx, app.stdin))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) == 0 {
		return nil, usageError{errors.New("nothing on standard input: did what writes " +
			"to it fail?")}
	}
	return data, nil
}

// contentTypeOf guesses the type of data. It refuses what a slip may have made of other data: an empty argument, or
// truncated JSON.
func contentTypeOf(data []byte) (string, error) {
	start := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case json.Valid(data):
		return "application/json", nil
	case len(data) == 0:
		return "", errors.New("the data is empty; with --content-type text/plain it is published")
	case bytes.HasPrefix(start, []byte("{")), bytes.HasPrefix(start, []byte("[")):
		return "", fmt.Errorf("the data looks like JSON but is not: %w; with --content-type "+
			"text/plain it is published as text", json.Unmarshal(data, new(any)))
	case utf8.Valid(data):
		return "text/plain; charset=utf-8", nil
	default:
		return "application/octet-stream", nil // the server says what it wants instead
	}
}

// noEvent is the value of --if-newest for a topic that never had an event.
const noEvent = "none"

// draft is an event to post.
type draft struct {
	topic, eventType, contentType string
	ifNewest                      string // "": no condition
	data                          []byte
}

// postTimeout allows for the server's queue timeout and a slow upload of the largest event.
const postTimeout = time.Minute

// unknownOutcomeError means that the request was sent and no response came.
type unknownOutcomeError struct{ error }

func (e unknownOutcomeError) Error() string {
	return fmt.Sprintf("no answer from the server; the event may or may not have been stored: %v",
		e.error)
}

func (e unknownOutcomeError) Unwrap() error { return e.error }

// post publishes one event and returns its ID. It never retries: a request without a response may have succeeded,
// and a second one would then store the event twice.
func (c *publishCmd) post(ctx context.Context, client *http.Client,
	d draft) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	query := url.Values{}
	if d.eventType != "" {
		query.Set("type", d.eventType)
	}
	req, err := c.request(ctx, http.MethodPost, query, "v1", "topics", d.topic, "events")
	if err != nil {
		return "", err
	}
	req.Body = io.NopCloser(bytes.NewReader(d.data))
	req.ContentLength = int64(len(d.data))
	req.Header.Set("Content-Type", d.contentType)
	switch d.ifNewest {
	case "":
	case noEvent:
		req.Header.Set("If-None-Match", "*")
	default:
		req.Header.Set("If-Match", strconv.Quote(d.ifNewest))
	}

	resp, sent, err := roundTrip(client, req)
	switch {
	case err != nil && sent:
		return "", unknownOutcomeError{err}
	case err != nil:
		return "", fmt.Errorf("nothing was stored: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return "", readProblem(resp)
	}
	var answer struct {
		ID string `json:"id"`
	}
	body, err := io.ReadAll(resp.Body) // to the end, so that the connection is reused
	if err != nil {
		return "", unknownOutcomeError{err}
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.ID == "" {
		return "", fmt.Errorf("%s answered %s without an event ID: is it a Tidings server?",
			c.URL, resp.Status)
	}
	return answer.ID, nil
}
