// Package pushtest is the other side of Web Push, for tests: browsers that decrypt what was encrypted for them, sharing
// no code with the encryption.
package pushtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Browser is a subscribed browser.
type Browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

// NewBrowser returns a Browser with new keys.
func NewBrowser() *Browser {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // it never fails
	}
	b := &Browser{key, make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	return b
}

// P256dh is the public key of its PushSubscription.
func (b *Browser) P256dh() string {
	return base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes())
}

// Auth is the secret of its PushSubscription.
func (b *Browser) Auth() string { return base64.RawURLEncoding.EncodeToString(b.auth) }

// Message is a declarative push message.
type Message struct {
	WebPush      int `json:"web_push"`
	Notification struct {
		Title, Body, Navigate, Tag, Lang string
		Renotify                         bool
		Timestamp                        int64
		Data                             struct {
			ID    string
			Count int
		}
	}
	Badge *int `json:"app_badge"`
}

// Read decrypts the body of a push (RFC 8291 §3, RFC 8188 §2). It expects one record.
func (b *Browser) Read(body []byte) (m Message, err error) {
	if len(body) < 86+17 || body[20] != 65 {
		return m, fmt.Errorf("%d bytes are no record of aes128gcm", len(body))
	}
	salt, sender, sealed := body[:16], body[21:86], body[86:]
	from, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return m, err
	}
	shared, err := b.key.ECDH(from)
	if err != nil {
		return m, err
	}
	derive := func(secret, salt []byte, info string, n int) []byte {
		key, failed := hkdf.Key(sha256.New, secret, salt, info, n)
		err = errors.Join(err, failed)
		return key
	}
	ikm := derive(shared, b.auth, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(sender), 32)
	key := derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce := derive(ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return m, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return m, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return m, err
	}
	plain, err := aead.Open(nil, nonce, sealed, nil)
	if err != nil {
		return m, err
	}
	text, last := strings.CutSuffix(strings.TrimRight(string(plain), "\x00"), "\x02")
	if !last {
		return m, errors.New("the record is not the last one")
	}
	return m, json.Unmarshal([]byte(text), &m)
}
