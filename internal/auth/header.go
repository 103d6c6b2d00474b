package auth

import (
	"encoding/json"
	"errors"
	"strings"

	"tidings/internal/wire"
)

// checkHeader refuses what the library lets pass, and returns the key ID. Members by which a token would bring its own
// key (jwk, jku, x5c, x5u) are ignored.
func (v *Verifier) checkHeader(token string) (kid string, err error) {
	encoded, _, _ := strings.Cut(token, ".")
	text, err := v.parser.DecodeSegment(encoded)
	if err != nil {
		return "", err
	}
	header, err := wire.SplitObject(text)
	if err != nil {
		return "", reason("its header is not a JSON object in which each name occurs once")
	}
	if header.Get("crit") != nil { // RFC 7515 §4.1.11: no extension is supported
		return "", reason("its header has crit")
	}
	if b64 := header.Get("b64"); b64 != nil && string(b64) != "true" { // RFC 7797
		return "", reason("its header has b64")
	}
	if raw := header.Get("typ"); raw != nil && !isTokenType(raw) {
		return "", reason("its type (typ) is not JWT or at+jwt")
	}
	if raw := header.Get("kid"); raw != nil && decodeValue(raw, &kid) != nil {
		return "", reason("its key ID (kid) is not a string")
	}
	return kid, nil
}

// isTokenType compares media types without "application/", whatever their case (RFC 7515 §4.1.9,
// RFC 9068 §4).
func isTokenType(raw json.RawMessage) bool {
	var typ string
	if decodeValue(raw, &typ) != nil {
		return false
	}
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "jwt" || typ == "at+jwt"
}

// decodeValue is json.Unmarshal, except that null is not a value.
func decodeValue(raw json.RawMessage, into any) error {
	if string(raw) == "null" {
		return errors.New("null")
	}
	return json.Unmarshal(raw, into)
}
