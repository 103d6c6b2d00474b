package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// claims say who somebody is, and what they may do.
type claims struct {
	Subject string `json:"sub"`
	Expires int64  `json:"exp"` // seconds since 1970
	Grant   grant  `json:"tidings"`
}

type grant struct {
	Publish   []string `json:"publish,omitempty"`
	Subscribe []string `json:"subscribe,omitempty"`
}

// mint creates a token: a JWT (RFC 7519) signed with HS256. Every language has a library for it.
func mint(key []byte, c claims) string {
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err) // claims always encode as JSON
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}
