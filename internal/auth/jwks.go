package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"

	"tidings/internal/loopback"
)

const (
	// jwksMaxAge is how long a key removed from the set may still count while the set can be fetched.
	jwksMaxAge = 10 * time.Minute

	// jwksMaxStale is how long keys count while the set cannot be fetched. Whoever can keep the address from answering
	// must not keep a removed key alive forever.
	jwksMaxStale = 24 * time.Hour

	// jwksPause is the minimum interval between two fetches, whatever key IDs tokens make up. Without any keys it
	// begins at jwksFirstPause and doubles.
	jwksPause      = 30 * time.Second
	jwksFirstPause = time.Second

	// jwksTimeout bounds one fetch.
	jwksTimeout = 5 * time.Second

	// maxJWKSBytes bounds a key set; those of identity providers have a few KiB.
	maxJWKSBytes = 1 << 20
)

// jwks is a key set that is fetched from its address when a token needs it: it has no goroutine. While the address does
// not answer, the last set stays in force, for a day.
type jwks struct {
	url    *url.URL
	client *http.Client
	now    func() time.Time
	logger *slog.Logger

	set    atomic.Pointer[keySet]
	turn   chan struct{} // one slot: whoever has filled it may fetch
	tried  time.Time     // the last fetch; this and the next belong to whoever has the turn
	failed int           // consecutive failed fetches
}

func newJWKS(ctx context.Context, o Options) (*jwks, error) {
	u, err := url.Parse(o.JWKSURL)
	if err != nil || u.Host == "" || u.Scheme != "https" &&
		(u.Scheme != "http" || !loopback.IsHost(u.Hostname())) {
		return nil, errors.New("JWKS URL: expected https://…, or http://… on loopback")
	}
	j := &jwks{
		url: u, now: o.Now, logger: o.Logger, turn: make(chan struct{}, 1),
		client: &http.Client{
			Transport: o.Transport,
			Timeout:   jwksTimeout,
			// A redirect would let whoever answers name another address, perhaps inside the network.
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
	j.set.Store(noKeys())
	j.try(ctx) // if the identity provider starts later, it is tried again
	return j, ctx.Err()
}

// noKeys is the set while no keys are known.
func noKeys() *keySet {
	set := newKeySet(nil, time.Time{})
	set.missing = ErrKeys
	return set
}

// current renews an outdated set, in one of the calls; the others use the old one meanwhile.
func (j *jwks) current(ctx context.Context) *keySet {
	set := j.set.Load()
	if set.missing == nil && j.now().Sub(set.fetched) < jwksMaxAge {
		return set
	}
	select {
	case j.turn <- struct{}{}:
		return j.renew(ctx)
	default:
		return j.unlessStale(set)
	}
}

func (j *jwks) renewed(ctx context.Context) *keySet {
	select {
	case j.turn <- struct{}{}:
		return j.renew(ctx)
	case <-ctx.Done():
		return j.unlessStale(j.set.Load())
	}
}

// unlessStale returns the set, or one without keys if it was fetched too long ago.
func (j *jwks) unlessStale(set *keySet) *keySet {
	if set.missing == nil && j.now().Sub(set.fetched) >= jwksMaxStale {
		if j.set.CompareAndSwap(set, noKeys()) {
			j.logger.Error("token keys have not been refreshed for a day and are no longer accepted",
				"url", j.url.Redacted(), "fetched", set.fetched)
		}
		return j.set.Load()
	}
	return set
}

// renew fetches the set and ends the turn. Soon after another fetch, perhaps the one waited for, it does not fetch.
func (j *jwks) renew(ctx context.Context) *keySet {
	defer func() { <-j.turn }()
	pause := jwksPause
	if j.set.Load().missing != nil {
		pause = min(pause, jwksFirstPause<<min(max(j.failed-1, 0), 5))
	}
	if j.now().Sub(j.tried) >= pause {
		j.try(context.WithoutCancel(ctx)) // a caller that hangs up must not keep the keys old
	}
	return j.unlessStale(j.set.Load())
}

// try fetches the set, and keeps the old one if that fails.
func (j *jwks) try(ctx context.Context) {
	j.tried = j.now()
	fresh, err := j.fetch(ctx)
	if err != nil {
		j.failed++
		j.logger.Warn("fetching token keys failed", "url", j.url.Redacted(), "error", err)
		return
	}
	if j.failed > 0 {
		j.logger.Info("token keys fetched", "url", j.url.Redacted())
	}
	j.failed = 0
	j.set.Store(fresh)
}

func (j *jwks) fetch(ctx context.Context) (*keySet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := j.client.Do(req)
	if err != nil {
		var failed *url.Error // its text repeats the URL
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("expected 200 OK (redirects are not followed), got %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxJWKSBytes {
		return nil, fmt.Errorf("the key set has more than %d bytes", maxJWKSBytes)
	}
	return j.parse(ctx, text)
}

// parse takes the keys that can verify tokens here; a set may hold keys for other uses.
func (j *jwks) parse(ctx context.Context, text []byte) (*keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &document) != nil { // its error may quote a key
		return nil, errors.New("the answer is not a JSON Web Key Set")
	}
	keys := map[keyID]key{}
	for i, raw := range document.Keys {
		id, k, err := parseJWK(ctx, raw)
		if _, twice := keys[id]; err == nil && twice {
			err = errors.New("duplicate key ID")
		}
		if err != nil {
			j.logger.Debug("key of the set not used", "index", i, "kid", id.kid, "error", err)
			continue
		}
		keys[id] = k
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of the %d keys in the set can verify RS256, ES256 or EdDSA",
			len(document.Keys))
	}
	return newKeySet(keys, j.now()), nil
}

func parseJWK(ctx context.Context, raw json.RawMessage) (keyID, key, error) {
	parsed, err := keyfunc.NewJWKJSON(raw)
	if err != nil {
		return keyID{}, key{}, errors.New("unreadable key") // err may quote it
	}
	jwks, err := parsed.Storage().KeyReadAll(ctx)
	if err != nil || len(jwks) != 1 {
		return keyID{}, key{}, errors.Join(errors.New("not one key"), err)
	}
	marked := jwks[0].Marshal()
	k, err := newKey(jwks[0].Key())
	if err != nil {
		return keyID{kid: marked.KID}, key{}, err
	}
	id := keyID{kid: marked.KID, alg: k.method.Alg()}
	if marked.USE != "" && marked.USE != "sig" || marked.ALG != "" && string(marked.ALG) != id.alg {
		return id, key{}, fmt.Errorf("use %.16q, algorithm %.16q", marked.USE, marked.ALG)
	}
	return id, k, nil
}
