package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// minSecretBytes is the size of the hash of HS256 (RFC 7518 §3.2).
const minSecretBytes = 32

const makeSecret = "make one with: openssl rand -base64 32"

// checkSecret refuses HMAC secrets that can be guessed, and keys in the wrong form: whoever knows a
// public key could sign with it.
func checkSecret(secret []byte) error {
	switch {
	case len(secret) == 0:
		return errors.New("no key for tokens; " + makeSecret)
	case isKeyInDisguise(secret):
		return errors.New(
			"this is a key in a form that is not supported, or a damaged one: expected an HMAC " +
				"secret or a whole PEM block")
	case len(secret) < minSecretBytes:
		return fmt.Errorf("an HMAC secret has at least %d bytes, this one %d; %s", minSecretBytes,
			len(secret), makeSecret)
	case isRepetition(secret), isExample(string(secret)):
		return errors.New("this HMAC secret is an example or can be guessed; " + makeSecret)
	}
	return nil
}

// isKeyInDisguise knows PEM with something before it, PEM in UTF-16, PEM without its first and last
// lines, DER, SSH keys and JWKs.
func isKeyInDisguise(secret []byte) bool {
	text := bytes.ReplaceAll(secret, []byte{0}, nil)
	for _, mark := range []string{"-----BEGIN", "-----END", " PUBLIC KEY",
		" PRIVATE KEY", `"kty"`} {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	for _, start := range []string{"ssh-", "ecdsa-sha2-"} {
		if bytes.HasPrefix(text, []byte(start)) {
			return true
		}
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	return isDER(secret) || err == nil && isDER(der)
}

func isDER(der []byte) bool {
	_, pkix := x509.ParsePKIXPublicKey(der)
	_, pkcs1 := x509.ParsePKCS1PublicKey(der)
	_, certificate := x509.ParseCertificate(der)
	_, pkcs8 := x509.ParsePKCS8PrivateKey(der)
	_, rsa := x509.ParsePKCS1PrivateKey(der)
	_, sec1 := x509.ParseECPrivateKey(der)
	return slices.Contains([]error{pkix, pkcs1, certificate, pkcs8, rsa, sec1}, nil)
}

// isRepetition reports whether a part of at most half the length makes up the whole.
func isRepetition(secret []byte) bool {
	for period := 1; period <= len(secret)/2; period++ {
		if bytes.Equal(secret[period:], secret[:len(secret)-period]) {
			return true
		}
	}
	return false
}

// isExample knows secrets from the documentation of widely used servers, and the phrases of which
// such examples are made. A random secret does not contain one: the odds are below one in 10⁸.
func isExample(secret string) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, secret)
	return slices.ContainsFunc([]string{
		"changeme", "changethis", "changeit", "replaceme", "replacethis", "pleasechange",
		"changeinproduction",
		"supersecret", "topsecret", "verysecret", "secretkey", "mysecret", "yoursecret",
		"jwtsecret", "password",
		"256bit", "384bit", "512bit", "atleast32", "32bytes", "32characters", "verysafe",
		"donotuse", "insecure",
		"0123456789", "1234567890", "abcdefghij", "qwertyuiop",
		"bbe7d157a25340949759", // Centrifugo
		"404e635266556a586e32", // tutorials on Spring Security
		"3ek6fdo0c7tzbnvfjpmk", // Hasura
		"aym1syspbydfgzld3umj", // RFC 7515 §A.1
	}, func(example string) bool { return strings.Contains(letters, example) })
}
