package auth

import (
	"bytes"
	"crypto/ecdh"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// readings returns a text and its possible decodings: decoded at most twice, from base64 in either alphabet, padded,
// wrapped or not, from hex, and from URL escapes. A text that is public in one of these forms is public in all.
func readings(text []byte) [][]byte {
	all := [][]byte{text}
	last := all
	for range 2 {
		var next [][]byte
		for _, t := range last {
			next = append(next, decodings(t)...)
		}
		all, last = append(all, next...), next
	}
	return all
}

// decodings returns the possible decodings of a text, decoded once.
func decodings(text []byte) (all [][]byte) {
	if !isText(text) {
		return nil
	}
	// Remove quotes and line ends as environment files and YAML leave them.
	plain := strings.NewReplacer(`\r`, "", `\n`, "", `"`, "", "'", "").Replace(string(text))
	plain = strings.Join(strings.Fields(plain), "")
	for _, prefix := range []string{"base64:", "b64:", "hex:", "0x"} {
		plain = strings.TrimPrefix(plain, prefix)
	}
	standard := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(plain)
	if decoded, err := base64.RawStdEncoding.DecodeString(standard); err == nil {
		all = append(all, decoded)
	}
	if decoded, err := hex.DecodeString(strings.ReplaceAll(plain, ":", "")); err == nil {
		all = append(all, decoded)
	}
	if strings.Contains(plain, "%") {
		if decoded, err := url.PathUnescape(string(text)); err == nil {
			all = append(all, []byte(decoded))
		}
	}
	return all
}

// isText reports whether all of it is readable by people.
func isText(text []byte) bool {
	return utf8.Valid(text) && !bytes.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsPrint(r) && !unicode.IsSpace(r)
	})
}

// isUTF16 recognises a text as Windows may encode it, with 0 as every second byte.
func isUTF16(text []byte) bool { return bytes.Count(text, []byte{0})*3 >= len(text) }

// isKey recognises PEM with something before it or without its first and last lines, DER, SSH keys, JWKs and points on
// P-256, whole or in part.
func isKey(text []byte) bool {
	for _, mark := range []string{"-----BEGIN", "-----END", " PUBLIC KEY", " PRIVATE KEY", `"kty"`,
		"ssh-rsa", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-",
		// the object identifiers of RSA, of EC and of Ed25519 with the length of such a key
		"\x2a\x86\x48\x86\xf7\x0d\x01\x01", "\x2a\x86\x48\xce\x3d\x02\x01",
		"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
	} {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	_, point := ecdh.P256().NewPublicKey(text)
	return point == nil || isDER(text)
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
