// Package webpush encrypts messages for browsers and signs the requests that carry them: RFC 8291 and RFC 8292.
//
//	key, err := webpush.NewKey(contact)                // kept: browsers subscribe with its Public
//	to, err := webpush.NewTarget(p256dh, auth)         // of a PushSubscription
//	body, err := to.Encrypt(message)
//	err = key.Sign(request, time.Now())
package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	// MaxMessage bounds a message, in bytes: push services take bodies of 4,096 (RFC 8291 §4).
	MaxMessage = recordSize - headerSize - tagSize - 1

	recordSize = 4096
	saltSize   = 16
	authSize   = 16
	tagSize    = 16
	keySize    = 65                         // of a point of P-256, not compressed
	headerSize = saltSize + 4 + 1 + keySize // RFC 8188 §2.1
)

var (
	// ErrTarget: the keys are not those of a PushSubscription.
	ErrTarget = errors.New("expected the keys of a PushSubscription: p256dh, a point of P-256, and auth, 16 bytes, " +
		"both as base64url")

	// ErrTooLong: the message is longer than MaxMessage.
	ErrTooLong = fmt.Errorf("a push has at most %d bytes", MaxMessage)
)

// Target is a browser that messages are encrypted for. It may be used concurrently.
type Target struct {
	key  *ecdh.PublicKey
	auth []byte
}

// NewTarget returns the target with these keys of a PushSubscription, as base64url with or without padding. Errors:
// ErrTarget.
func NewTarget(p256dh, auth string) (*Target, error) {
	point, err := decode(p256dh)
	if err != nil {
		return nil, ErrTarget
	}
	secret, err := decode(auth)
	if err != nil {
		return nil, ErrTarget
	}
	return ParseTarget(append(secret, point...))
}

func decode(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
}

// TargetSize is the length of Target.Bytes.
const TargetSize = authSize + keySize

// Bytes returns the secret and the point, for ParseTarget.
func (t *Target) Bytes() []byte { return append(t.auth[:authSize:authSize], t.key.Bytes()...) }

// ParseTarget parses the output of Bytes, and keeps the slice. Errors: ErrTarget.
func ParseTarget(text []byte) (*Target, error) {
	if len(text) != TargetSize {
		return nil, ErrTarget
	}
	key, err := ecdh.P256().NewPublicKey(text[authSize:])
	if err != nil {
		return nil, ErrTarget
	}
	return &Target{key, text[:authSize]}, nil
}

// Encrypt returns the body of a request: one record of aes128gcm (RFC 8188), padded to its full size, so that the
// length reveals nothing. Errors: ErrTooLong.
func (t *Target) Encrypt(message []byte) ([]byte, error) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	return t.encrypt(message, own, salt, recordSize-headerSize-tagSize)
}

// encrypt fills the record up to size, the delimiter included.
func (t *Target) encrypt(message []byte, own *ecdh.PrivateKey, salt []byte, size int) ([]byte, error) {
	if len(message) >= size {
		return nil, ErrTooLong
	}
	aead, nonce, err := t.keys(own, salt)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, headerSize+size+tagSize)
	out = binary.BigEndian.AppendUint32(append(out, salt...), recordSize)
	out = append(append(out, keySize), own.PublicKey().Bytes()...)
	plain := make([]byte, size)
	copy(plain, message)
	plain[len(message)] = 2 // the last record; what follows is padding
	return aead.Seal(out, nonce, plain, nil), nil
}

// keys derives the key and the nonce of a message (RFC 8291 §3.4).
func (t *Target) keys(own *ecdh.PrivateKey, salt []byte) (aead cipher.AEAD, nonce []byte, err error) {
	shared, err := own.ECDH(t.key)
	if err != nil {
		return nil, nil, err
	}
	info := "WebPush: info\x00" + string(t.key.Bytes()) + string(own.PublicKey().Bytes())
	ikm, err := hkdf.Key(sha256.New, shared, t.auth, info, sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, nil, err
	}
	if nonce, err = hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12); err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	aead, err = cipher.NewGCM(block)
	return aead, nonce, err
}

// Mark sets the headers that describe the body's encryption.
func Mark(h http.Header) {
	h.Set("Content-Encoding", "aes128gcm")
	h.Set("Content-Type", "application/octet-stream")
}
