package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Key identifies the sender to push services (RFC 8292, VAPID). A browser accepts only pushes by the key it subscribed
// with, so it is kept permanently. It may be used concurrently.
type Key struct {
	private *ecdsa.PrivateKey
	public  string
	contact string

	mu     sync.Mutex
	signed map[string]signature // by origin
}

// signature is a token for a push service.
type signature struct {
	header string
	until  time.Time // for use
}

const (
	// signedFor is how long a token is valid; at most a day is allowed (RFC 8292 §2).
	signedFor = 12 * time.Hour

	// usedFor is how long a token is used: the clock of a push service may be ahead.
	usedFor = 6 * time.Hour

	// maxSigned bounds the tokens kept: whoever registers a device names its push service.
	maxSigned = 1000
)

// ErrContact is CheckContact's error.
var ErrContact = errors.New("expected mailto:ops@example.com, or a URL such as https://example.com/contact")

// CheckContact checks the address where operators of push services can reach the sender. Errors: ErrContact.
func CheckContact(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "mailto" && !strings.Contains(u.Opaque, "@") ||
		u.Scheme == "https" && u.Host == "" || u.Scheme != "mailto" && u.Scheme != "https" {
		return ErrContact
	}
	return nil
}

// NewKey generates a key.
func NewKey(contact string) (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newKey(private, contact)
}

// ParseKey parses the output of Bytes.
func ParseKey(secret []byte, contact string) (*Key, error) {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
	if err != nil {
		return nil, err
	}
	return newKey(private, contact)
}

func newKey(private *ecdsa.PrivateKey, contact string) (*Key, error) {
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return &Key{private: private, public: base64.RawURLEncoding.EncodeToString(point), contact: contact,
		signed: make(map[string]signature)}, nil
}

// Bytes returns the private key, a secret.
func (k *Key) Bytes() ([]byte, error) { return k.private.Bytes() }

// Public returns the applicationServerKey that browsers subscribe with, as base64url.
func (k *Key) Public() string { return k.public }

// Sign sets the Authorization header of a request, for its push service.
func (k *Key) Sign(req *http.Request, now time.Time) error {
	origin := req.URL.Scheme + "://" + req.URL.Host // RFC 8292 §2: the aud
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.signed[origin]
	if !now.Before(s.until) {
		token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"aud": origin, "sub": k.contact,
			"exp": now.Add(signedFor).Unix()}).SignedString(k.private)
		if err != nil {
			return err
		}
		if len(k.signed) >= maxSigned {
			clear(k.signed)
		}
		s = signature{"vapid t=" + token + ", k=" + k.public, now.Add(usedFor)}
		k.signed[origin] = s
	}
	req.Header.Set("Authorization", s.header)
	return nil
}
