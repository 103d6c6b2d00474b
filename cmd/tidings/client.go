package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	"tidings/internal/wire"
)

// client holds the flags that all verbs which talk to a server share.
type client struct {
	URL   baseURL `help:"URL of the server." default:"http://127.0.0.1:8080"`
	Token bearer  `help:"Bearer token; empty sends none." placeholder:"JWT"`
}

// baseURL is an absolute http or https URL; the API lies below its path.
type baseURL struct{ url *url.URL }

func (b baseURL) String() string { return b.url.Redacted() }

func (b *baseURL) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("expected a URL such as http://127.0.0.1:8080 but got %q", text)
	}
	b.url = u
	return nil
}

// bearer is a token in a form that a header can carry.
type bearer string

// UnmarshalText is called by kong. The line end of a file that was read into a variable is not part of the token.
// Errors do not repeat the token.
func (b *bearer) UnmarshalText(text []byte) error {
	text = bytes.TrimSpace(text)
	if bytes.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New(`expected just a token, such as eyJhbGciOi..., without "Bearer", spaces ` +
			"or line breaks")
	}
	*b = bearer(text)
	return nil
}

// request prepares a request to a path of the API. Segments that are not constant must be valid topics, which need
// no escaping, or be escaped.
func (c *client) request(ctx context.Context, method string, query url.Values,
	path ...string) (*http.Request, error) {
	u := c.URL.url.JoinPath(path...)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+string(c.Token))
	}
	return req, nil
}

// httpClient follows no redirects: 301 and 302 would turn a POST into a GET.
func (a *app) httpClient() *http.Client {
	return &http.Client{
		Transport: a.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// roundTrip sends a request. If it fails, sent is false when no byte of it can have been sent.
func roundTrip(client *http.Client, req *http.Request) (resp *http.Response, sent bool, err error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }, // after the TLS handshake
	})
	resp, err = client.Do(req.WithContext(ctx))
	if err != nil {
		err = shorten(err)
	}
	return resp, connected.Load(), err
}

// problem is an error response of the server (RFC 9457).
type problem struct {
	Status  int    `json:"-"` // the status of the response counts
	Title   string `json:"title"`
	Detail  string `json:"detail"`
	Code    string `json:"code"`
	Field   string `json:"field"`   // the part of the request at fault
	Outcome string `json:"outcome"` // of a write: not_stored or unknown
}

func (p *problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the server answered %d %s", p.Status, p.Title)
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	notes := []string{}
	for _, note := range []struct{ name, value string }{{"code", p.Code}, {"outcome", p.Outcome}} {
		if note.value != "" {
			notes = append(notes, note.name+" "+note.value)
		}
	}
	if len(notes) > 0 {
		b.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	return printable(b.String())
}

const maxProblemBytes = 64 << 10

// readProblem turns a response that is not a success into an error. Responses of proxies are not problem documents;
// of those it shows the start of the body.
func readProblem(resp *http.Response) *problem {
	p := &problem{}
	// the status alone is worth reporting
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes))
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if mediaType != "application/problem+json" || json.Unmarshal(body, p) != nil {
		p = &problem{Detail: strings.TrimSpace(string(body[:min(len(body), 200)]))}
	}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		p.Detail = "redirects are not followed; set --url for " + to
	}
	p.Status = resp.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	return p
}

// shorten strips the request from an error of http.Client, whose text repeats the whole URL.
func shorten(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return urlErr.Err
	}
	return err
}

// exchange makes a request and decodes the response, unless into is nil.
func (c *client) exchange(ctx context.Context, app *app, method string, query url.Values, header http.Header,
	body, into any, path ...string) error {
	req, err := c.request(ctx, method, query, path...)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, header)
	if body != nil {
		text := wire.Marshal(body)
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		req.Header.Set("Content-Type", "application/json")
	}
	resp, sent, err := roundTrip(app.httpClient(), req)
	switch {
	case err != nil && sent && method != http.MethodGet:
		return fmt.Errorf("no answer from the server; it may have been done, list shows whether it was: %w", err)
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return readProblem(resp)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("%s answered %s, which is unexpected: is it a Tidings server?", c.URL, resp.Status)
	}
	return nil
}
