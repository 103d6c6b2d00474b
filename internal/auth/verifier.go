package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	// ErrToken: the server's key does not vouch for this token at this time. It is malformed, not signed by the key,
	// too old or too new, or made by or for somebody else. A new one may help.
	ErrToken = errors.New("the token is not accepted")

	// ErrClaims: the signature is valid, but the content is not what a token must have. Another token of the same
	// issuer will not do better.
	ErrClaims = errors.New("the token lacks required claims")

	// ErrKeys: no token can be judged, because the key set could not be fetched yet, or not for a day. The same token
	// may be accepted later.
	ErrKeys = errors.New("cannot fetch the keys to verify tokens with")
)

const (
	// MaxTokenBytes is the length above which a token is refused unread.
	MaxTokenBytes = 8 << 10

	// Leeway is how far the clocks of issuer and server may differ.
	Leeway = 5 * time.Second
)

// Options say whose tokens are accepted. Exactly one of Key and JWKSURL is required.
type Options struct {
	// HMAC secrets (32 bytes or more, one a line), all of which count, or PEM public key or certificate; outer white
	// space is not part of it
	Key []byte
	// NewKey returns the replacement of Key, nil while there is none. It is called at most once a second, by one call
	// at a time, while there are tokens to verify. nil: never.
	NewKey  func() ([]byte, error)
	JWKSURL string // address of a JSON Web Key Set (RFC 7517): https, or http on loopback

	Issuer   string // required value of "iss"; "": any
	Audience string // required in "aud"; "": any

	Now       func() time.Time  // nil: time.Now
	Transport http.RoundTripper // fetches the key set; nil: http.DefaultTransport
	Logger    *slog.Logger      // for key sets that cannot be fetched; nil: none
}

// Verifier decides what a token grants. It may be used concurrently and has nothing to close.
type Verifier struct {
	keys      keySource
	parser    *jwt.Parser
	validator *jwt.Validator
	now       func() time.Time
	oneIssuer bool // all accepted tokens have the same
}

// NewVerifier checks the options, and with a JWKSURL tries to fetch the key set, bounded by ctx; if that fails, Keys
// and Verify try again. Its errors describe a wrong key in one line, without any part of it.
func NewVerifier(ctx context.Context, o Options) (*Verifier, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	keys, err := newKeySource(ctx, o)
	if err != nil {
		return nil, err
	}
	rules := []jwt.ParserOption{
		jwt.WithTimeFunc(o.Now), jwt.WithLeeway(Leeway), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
	}
	if o.Issuer != "" {
		rules = append(rules, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		rules = append(rules, jwt.WithAudience(o.Audience))
	}
	return &Verifier{
		keys: keys,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{"HS256", "RS256", "ES256", "EdDSA"}),
			jwt.WithStrictDecoding(),
			// they are decoded only after the signature is verified
			jwt.WithoutClaimsValidation(),
		),
		validator: jwt.NewValidator(rules...),
		now:       o.Now,
		oneIssuer: o.Issuer != "",
	}, nil
}

func newKeySource(ctx context.Context, o Options) (keySource, error) {
	switch {
	case len(o.Key) > 0 && o.JWKSURL != "":
		return nil, errors.New("a key and a JWKS URL are mutually exclusive")
	case o.JWKSURL != "":
		return newJWKS(ctx, o)
	}
	set, err := configured(o.Key)
	if err != nil || o.NewKey == nil {
		return fixed{set}, err
	}
	return newReplaced(set, o), nil
}

// configured is the key set of the configuration.
func configured(text []byte) (*keySet, error) {
	k, err := parseVerifyingKey(text)
	if err != nil {
		return nil, err
	}
	return newKeySet(map[keyID]key{{alg: k.method.Alg()}: k}, time.Time{}), nil
}

// Keys returns when the keys were fetched, the zero time for those of the configuration, and an ErrKeys while there are
// none. It fetches them if due.
func (v *Verifier) Keys(ctx context.Context) (fetched time.Time, err error) {
	set := v.keys.current(ctx)
	return set.fetched, set.missing
}

// Verify returns what the token grants, or an ErrToken, ErrClaims or ErrKeys whose text may be shown to the token's
// holder. ctx bounds the wait for a key set that another call is fetching.
func (v *Verifier) Verify(ctx context.Context, token string) (Grant, error) {
	if len(token) > MaxTokenBytes {
		return Grant{}, fmt.Errorf("%w: longer than %d bytes", ErrToken, MaxTokenBytes)
	}
	set := v.keys.current(ctx)
	if grant, ok := set.verified.get(token, v.now()); ok {
		return grant, nil
	}
	if set.missing != nil {
		return Grant{}, set.missing
	}
	set, payload, err := v.open(ctx, set, token)
	if errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		// An issuer may replace a key under the same ID.
		if fresh := v.keys.renewed(ctx); fresh != set && fresh.missing == nil {
			set, payload, err = v.open(ctx, fresh, token)
		}
	}
	if err != nil {
		return Grant{}, fmt.Errorf("%w: %s", ErrToken, reasonOf(err))
	}
	claims, err := decodeClaims(payload)
	if err != nil {
		return Grant{}, err
	}
	if err := v.validator.Validate(claims); err != nil {
		return Grant{}, fmt.Errorf("%w: %s", ErrToken, reasonOf(err))
	}
	if v.oneIssuer {
		claims.grant.Issuer = ""
	}
	// Without the signature: one text can have many valid ones (ECDSA).
	claims.grant.Signed = digest(token[:strings.LastIndexByte(token, '.')])
	set.verified.put(token, claims)
	return claims.grant, nil
}

// open checks the token's signature and returns its payload, and the set that had the key.
func (v *Verifier) open(ctx context.Context, set *keySet, token string) (*keySet, []byte, error) {
	var signed signedClaims
	_, err := v.parser.ParseWithClaims(token, &signed, func(t *jwt.Token) (any, error) {
		kid, err := v.checkHeader(t.Raw)
		if err != nil {
			return nil, err
		}
		var k key
		k, set, err = v.find(ctx, set, keyID{kid, t.Method.Alg()})
		return k.public, err
	})
	return set, signed.json, err
}

// find returns the key and its set, which is a newer one if the key is new.
func (v *Verifier) find(ctx context.Context, set *keySet, id keyID) (key, *keySet, error) {
	k, ok := set.find(id)
	if !ok {
		set = v.keys.renewed(ctx)
		k, ok = set.find(id)
	}
	if !ok {
		return key{}, set, reason("no key for its algorithm and key ID")
	}
	return k, set, nil
}

// reason is an error text of ours, safe to show: without parts of the token or the key.
type reason string

func (r reason) Error() string { return string(r) }

// reasonOf never passes on a text of the library, which may quote the token. The distinctions are for people; all are
// the same refusal.
func reasonOf(err error) string {
	var ours reason
	switch {
	case errors.As(err, &ours):
		return string(ours)
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "not a signed JWT"
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return "algorithm not supported"
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "wrong signature"
	case errors.Is(err, jwt.ErrTokenExpired):
		return "expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "not valid yet (nbf)"
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "issued in the future (iat)"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "of another issuer (iss)"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "for another audience (aud)"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "without the required issuer (iss) or audience (aud)"
	}
	return "not valid"
}
