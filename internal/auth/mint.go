package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MintOptions are the claims of a token that are not part of what it grants.
type MintOptions struct {
	ID       string    // "jti"; left out when empty
	Issuer   string    // "iss"; left out when empty
	Audience string    // "aud"; left out when empty
	IssuedAt time.Time // "iat"; left out when zero
}

// Mint returns a token for the grant, whose Expires is required and loses its fraction of a second. key is an HMAC
// secret (HS256) or a PEM private key (RS256, ES256 or EdDSA, by the kind of key), under the rules of Options. A grant
// that Verify would refuse is ErrClaims; other errors concern the key.
func Mint(key []byte, grant Grant, o MintOptions) (string, error) {
	method, private, err := parseSigningKey(key)
	if err != nil {
		return "", err
	}
	claims := mintedClaims{
		RegisteredClaims: jwt.RegisteredClaims{ID: o.ID, Issuer: o.Issuer,
			Subject: grant.Subject},
		Tidings: mintedGrant{grant.Publish.Patterns(),
			grant.Subscribe.Patterns(), grant.Answer.Patterns(), grant.Admin},
	}
	if o.Audience != "" {
		claims.Audience = jwt.ClaimStrings{o.Audience}
	}
	if !o.IssuedAt.IsZero() {
		claims.IssuedAt = jwt.NewNumericDate(o.IssuedAt)
	}
	if !grant.Expires.IsZero() {
		claims.ExpiresAt = jwt.NewNumericDate(grant.Expires)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrClaims, err)
	}
	if _, err := decodeClaims(payload); err != nil {
		return "", err
	}
	token, err := jwt.NewWithClaims(method, claims).SignedString(private)
	if err != nil {
		return "", errors.New("the key cannot sign") // err may quote it
	}
	if len(token) > MaxTokenBytes {
		return "", fmt.Errorf("%w: the token would have %d bytes, at most %d are accepted",
			ErrClaims, len(token), MaxTokenBytes)
	}
	return token, nil
}

type mintedClaims struct {
	jwt.RegisteredClaims
	Tidings mintedGrant `json:"tidings"`
}

type mintedGrant struct {
	Publish   []string `json:"publish,omitempty"`
	Subscribe []string `json:"subscribe,omitempty"`
	Answer    []string `json:"answer,omitempty"`
	Admin     bool     `json:"admin,omitempty"`
}
