package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"tidings/internal/wire"
	"tidings/store"
)

const (
	// maxPatterns bounds the topic patterns in each list of a token.
	maxPatterns = 1000

	// maxSubjectBytes is the limit of OpenID Connect Core 1.0 §2.
	maxSubjectBytes = 255

	// maxSeconds is the last second of the year 9999, the end of RFC 3339.
	maxSeconds = 253402300799
)

// signedClaims keeps the payload unparsed: nothing in it is trusted before its signature is verified.
type signedClaims struct {
	jwt.RegisteredClaims
	json []byte // nil if the payload is null
}

func (s *signedClaims) UnmarshalJSON(text []byte) error {
	s.json = bytes.Clone(text)
	return nil
}

// claims are the decoded claims that matter here.
type claims struct {
	jwt.RegisteredClaims
	grant Grant
}

// decodeClaims requires each claim to have the type of RFC 7519 §4.1. Claims that are not ours may contain anything.
// Errors are ErrClaims.
func decodeClaims(payload []byte) (*claims, error) {
	all, err := wire.SplitObject(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrClaims, err)
	}
	if all.Get("exp") == nil {
		return nil, fmt.Errorf("%w: exp is missing, and a token must expire", ErrClaims)
	}
	c := &claims{}
	for _, claim := range []struct {
		name   string
		decode func(json.RawMessage) error
	}{
		{"exp", func(raw json.RawMessage) error { return decodeExpiry(raw, &c.ExpiresAt) }},
		{"nbf", func(raw json.RawMessage) error { return decodeDate(raw, &c.NotBefore) }},
		{"iat", func(raw json.RawMessage) error { return decodeDate(raw, &c.IssuedAt) }},
		{"iss", func(raw json.RawMessage) error { return decodeString(raw, &c.Issuer) }},
		{"sub", func(raw json.RawMessage) error { return decodeSubject(raw, &c.Subject) }},
		{"aud", func(raw json.RawMessage) error { return decodeAudience(raw, &c.Audience) }},
		{"tidings", func(raw json.RawMessage) error { return decodeTidings(raw, &c.grant) }},
	} {
		raw := all.Get(claim.name)
		if raw == nil {
			continue
		}
		// without its chain: it may be the store's ErrInvalid
		if err := claim.decode(raw); err != nil {
			return nil, fmt.Errorf("%w: %s: %v", ErrClaims, claim.name, err)
		}
	}
	c.grant.Subject, c.grant.Issuer, c.grant.Expires = c.Subject, c.Issuer, c.ExpiresAt.Time
	return c, nil
}

// decodeExpiry refuses 0, which some read as never.
func decodeExpiry(raw json.RawMessage, into **jwt.NumericDate) error {
	if err := decodeDate(raw, into); err != nil {
		return err
	}
	if (*into).Unix() < 1 {
		return reason("expected a time after 1970-01-01")
	}
	return nil
}

func decodeDate(raw json.RawMessage, into **jwt.NumericDate) error {
	var seconds float64
	if decodeValue(raw, &seconds) != nil || seconds < 0 || seconds > maxSeconds {
		return reason("expected a number of seconds since 1970, before the year 10000")
	}
	whole, fraction := math.Modf(seconds)
	*into = &jwt.NumericDate{Time: time.Unix(int64(whole), int64(fraction*1e9)).UTC()}
	return nil
}

func decodeString(raw json.RawMessage, into *string) error {
	if decodeValue(raw, into) != nil {
		return reason("expected a string")
	}
	return nil
}

// decodeSubject refuses subjects that could be confused with others, since a subject is part of a key: a surrogate that
// JSON turned into U+FFFD, control characters, white space alone, which is an issuer's template without its value. An
// empty one counts as none.
func decodeSubject(raw json.RawMessage, into *string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	if decodeValue(raw, into) != nil || len(*into) > maxSubjectBytes ||
		strings.ContainsFunc(*into, bad) || *into != "" && strings.TrimSpace(*into) == "" {
		return reason(fmt.Sprintf("expected a string of at most %d bytes without control "+
			"characters, and not of white space alone", maxSubjectBytes))
	}
	return nil
}

func decodeAudience(raw json.RawMessage, into *jwt.ClaimStrings) error {
	var one string
	if decodeValue(raw, &one) == nil {
		*into = jwt.ClaimStrings{one}
		return nil
	}
	if decodeValue(raw, (*[]string)(into)) != nil {
		return reason("expected a string or a list of strings")
	}
	return nil
}

// decodeTidings refuses unknown members: with "subcribe" somebody would silently be granted less than was meant.
func decodeTidings(raw json.RawMessage, into *Grant) error {
	all, err := wire.SplitObject(raw)
	if err != nil {
		return err
	}
	for _, m := range all {
		switch m.Name {
		case "publish":
			into.Publish, err = decodePatterns(m.Value)
		case "subscribe":
			into.Subscribe, err = decodePatterns(m.Value)
		case "answer":
			into.Answer, err = decodePatterns(m.Value)
		case "admin":
			if decodeValue(m.Value, &into.Admin) != nil {
				err = reason("expected true or false")
			}
		default:
			err = reason("expected publish, subscribe, answer or admin")
		}
		if err != nil {
			return fmt.Errorf("%.64q: %w", m.Name, err)
		}
	}
	return nil
}

func decodePatterns(raw json.RawMessage) (store.Filter, error) {
	var patterns []string
	if decodeValue(raw, &patterns) != nil || slices.Contains(patterns, "") {
		return store.Filter{}, reason("expected a list of topic patterns")
	}
	if len(patterns) > maxPatterns {
		return store.Filter{}, reason(fmt.Sprintf("at most %d topic patterns, got %d", maxPatterns,
			len(patterns)))
	}
	filter, err := store.NewFilter(patterns...)
	if err == nil && filter.HasReserved() {
		err = reason(`expected no reserved topics, which begin with "$": who may read a topic may read what is about it`)
	}
	return filter, err
}
