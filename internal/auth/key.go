package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// minRSABits is the minimum that RFC 7518 §3.3 allows.
const minRSABits = 2048

// key verifies signatures of one algorithm only, so that no token can choose another.
type key struct {
	method jwt.SigningMethod
	public any // as method requires it, or a jwt.VerificationKeySet of such
}

// parseVerifyingKey parses HMAC secrets or a PEM public key.
func parseVerifyingKey(text []byte) (key, error) {
	text = trim(text)
	if !isPEM(text) {
		secrets, err := parseSecrets(text)
		if len(secrets) == 1 {
			return key{jwt.SigningMethodHS256, secrets[0]}, err
		}
		var all jwt.VerificationKeySet
		for _, secret := range secrets {
			all.Keys = append(all.Keys, secret)
		}
		return key{jwt.SigningMethodHS256, all}, err
	}
	block, err := onlyBlock(text)
	if err != nil {
		return key{}, err
	}
	switch block.Type {
	case "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		return keyOrError(public, err)
	case "RSA PUBLIC KEY":
		public, err := x509.ParsePKCS1PublicKey(block.Bytes)
		return keyOrError(public, err)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return keyOrError(nil, err)
		}
		return newKey(certificate.PublicKey)
	}
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return key{},
			errors.New(
				"a private key where its public key is expected; get that with: openssl pkey " +
					"-in FILE -pubout")
	}
	return key{}, fmt.Errorf("PEM of type %.64q where PUBLIC KEY is expected", block.Type)
}

func keyOrError(public any, err error) (key, error) {
	if err != nil {
		// err may quote it
		return key{}, errors.New("the PEM block does not contain a public key that can be read")
	}
	return newKey(public)
}

// newKey binds a public key to its algorithm.
func newKey(public any) (key, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits {
			return key{}, fmt.Errorf("an RSA key has at least %d bits, this one %d",
				minRSABits, bits)
		}
		return key{jwt.SigningMethodRS256, k}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return key{}, fmt.Errorf("an EC key must be on the curve P-256, this one is on %s",
				k.Params().Name)
		}
		return key{jwt.SigningMethodES256, k}, nil
	case ed25519.PublicKey:
		return key{jwt.SigningMethodEdDSA, k}, nil
	case crypto.Signer:
		return key{}, errors.New("a private key where a public one is expected")
	case []byte:
		return key{}, errors.New("a symmetric key where a public one is expected")
	}
	return key{}, errors.New("expected a public key for RSA, P-256 or Ed25519")
}

// parseSigningKey parses HMAC secrets, of which the first signs, or a PEM private key.
func parseSigningKey(text []byte) (jwt.SigningMethod, any, error) {
	text = trim(text)
	if !isPEM(text) {
		secrets, err := parseSecrets(text)
		return jwt.SigningMethodHS256, secrets[0], err
	}
	block, err := onlyBlock(withoutParameters(text))
	if err != nil {
		return nil, nil, err
	}
	signer, err := parsePrivate(block)
	if err != nil {
		return nil, nil, err
	}
	k, err := newKey(signer.Public())
	return k.method, signer, err
}

func parsePrivate(block *pem.Block) (crypto.Signer, error) {
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil,
			fmt.Errorf(
				"PEM of type %.64q where PRIVATE KEY is expected: a token is signed with the "+
					"private key",
				block.Type)
	}
	signer, ok := private.(crypto.Signer)
	if err != nil || !ok {
		return nil,
			errors.New(
				"the PEM block does not contain a private key that can be read; one with a pass " +
					"phrase cannot")
	}
	return signer, nil
}

// withoutParameters drops the block that "openssl ecparam -genkey" writes before the key.
func withoutParameters(text []byte) []byte {
	if block, rest := pem.Decode(text); block != nil && block.Type == "EC PARAMETERS" {
		return trim(rest)
	}
	return text
}

// trim removes what editors and shells add: a byte order mark, white space. DER stays whole, or it would not be
// recognised: its last byte may be a space.
func trim(text []byte) []byte {
	if isDER(text) {
		return text
	}
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(text), []byte("\ufeff")))
}

func isPEM(text []byte) bool { return bytes.HasPrefix(text, []byte("-----BEGIN")) }

// onlyBlock is pem.Decode without its leniency: that would skip a damaged block and take a later one.
func onlyBlock(text []byte) (*pem.Block, error) {
	if bytes.Count(text, []byte("-----BEGIN")) > 1 {
		return nil, errors.New("more than one PEM block; expected one key")
	}
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("damaged PEM: have its line breaks been lost?")
	}
	return block, nil
}
