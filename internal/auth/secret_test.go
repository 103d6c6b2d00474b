package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"tidings/internal/auth"
	"tidings/store"
)

// refusedSecret checks that neither function accepts the text as a secret, and that the error does not reveal it.
func refusedSecret(t *testing.T, text, reason string) {
	t.Helper()
	_, verify := auth.NewVerifier(t.Context(), auth.Options{Key: []byte(text)})
	grant := auth.Grant{Subscribe: store.All(), Expires: start}
	_, mint := auth.Mint([]byte(text), grant, auth.MintOptions{})
	for door, err := range map[string]error{"verify": verify, "mint": mint} {
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s %.80q: got %v, want an error with %q", door, text, err, reason)
			continue
		}
		if strings.Contains(err.Error(), text[len(text)/2:]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %.80q: the error tells it, or is longer than a line: %v", door, text, err)
		}
	}
}

// wrapped is text in lines of 64, as openssl writes it.
func wrapped(text string) string {
	var lines []string
	for len(text) > 64 {
		lines, text = append(lines, text[:64]), text[64:]
	}
	return strings.Join(append(lines, text), "\n") + "\n"
}

// encodings are forms that a key takes in variables, files and templates.
var encodings = map[string]func([]byte) string{
	"base64":         base64.StdEncoding.EncodeToString,
	"base64 wrapped": func(b []byte) string { return wrapped(base64.StdEncoding.EncodeToString(b)) },
	"base64 raw":     base64.RawStdEncoding.EncodeToString,
	"base64url":      base64.URLEncoding.EncodeToString,
	"base64url raw":  base64.RawURLEncoding.EncodeToString,
	"hex":            hex.EncodeToString,
	"HEX":            func(b []byte) string { return fmt.Sprintf("%X", b) },
	"hex with colons": func(b []byte) string {
		return strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf("% x", b)), " ", ":")
	},
	"hex wrapped": func(b []byte) string { return wrapped(hex.EncodeToString(b)) },
	"base64 twice": func(b []byte) string {
		return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(b)))
	},
	"base64 of hex": func(b []byte) string {
		return base64.RawURLEncoding.EncodeToString([]byte(hex.EncodeToString(b)))
	},
	"quoted":       func(b []byte) string { return `"` + base64.StdEncoding.EncodeToString(b) + `"` },
	"with a label": func(b []byte) string { return "base64:" + base64.StdEncoding.EncodeToString(b) },
	"escaped line ends": func(b []byte) string {
		return strings.ReplaceAll(wrapped(base64.StdEncoding.EncodeToString(b)), "\n", `\n`)
	},
	"byte order mark": func(b []byte) string {
		return "\ufeff" + base64.StdEncoding.EncodeToString(b) + "\r\n"
	},
}

func TestPublicTextsAreNoSecrets(t *testing.T) {
	rsaPair, es, ed := newPairs(t)[0], newES256(t), newEdDSA(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "id"}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template,
		es.private.Public(), es.private)
	if err != nil {
		t.Fatal(err)
	}
	point, err := es.private.Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der := func(p pair) []byte {
		block, _ := pem.Decode(p.publicPEM(t))
		return block.Bytes
	}
	public := map[string][]byte{
		"PEM": es.publicPEM(t), "PEM of RSA": rsaPair.publicPEM(t), "private PEM": es.privatePEM(t),
		"certificate in PEM": toPEM(t, "CERTIFICATE", certificate, nil),
		"DER of EC":          der(es), "DER of RSA": der(rsaPair), "DER of Ed25519": der(ed),
		"DER of PKCS #1": x509.MarshalPKCS1PublicKey(rsaPair.private.Public().(*rsa.PublicKey)),
		"certificate":    certificate, "DER cut short": der(es)[:60], "point": point,
		"DER and more": append(der(ed), 0), "JWK": []byte(es.jwk("k")),
		"JWKS":    []byte(`{"keys":[` + ed.jwk("k") + `]}`),
		"SSH key": []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJYBnDKZp5i2DRbPZQzW3m5pJ7jX a@b"),
	}
	for name, key := range public {
		for encoding, encode := range encodings {
			t.Run("91 "+name+" in "+encoding, func(t *testing.T) {
				refusedSecret(t, encode(key), "damaged")
			})
		}
	}
	t.Run("91 token", func(t *testing.T) { refusedSecret(t, hs256(t, payload()), "a token") })
	t.Run("91 JSON", func(t *testing.T) {
		refusedSecret(t, `{"secret":"`+secret+`"}`, "JSON")
	})
	t.Run("91 PEM in the escapes of URLs", func(t *testing.T) {
		refusedSecret(t, strings.ReplaceAll(string(es.publicPEM(t)), "-", "%2D"), "damaged")
	})
}

func TestPlaceholdersAreNoSecrets(t *testing.T) {
	for _, text := range []string{
		"https://id.example.com/realms/tidings/protocol/openid-connect/certs",
		"HTTP://127.0.0.1:9000/jwks.json?for=tidings", "file:///run/secrets/tidings-jwt-key",
		"file:/run/secrets/tidings/jwt/signing/key", "vault://secret/data/tidings#jwt-signing-key",
		"arn:aws:secretsmanager:eu-central-1:1:secret:tidings",
		"/run/secrets/jwt", "/run/secrets/tidings/jwt/signing/key", "/etc/tidings/jwt.pem",
		"/Users/ann/Projects/tidings/secrets/jwt", "@/run/secrets/jwt", "@/run/secrets/jwt.key",
		"@run/secrets/tidings/jwt/signing/key", "./secrets/jwt", "../secrets/tidings/jwt.pem",
		"~/.config/tidings/jwt", "secrets/production/tidings-signing-2026.pem",
		`C:\ProgramData\Tidings\secrets\jwt.key`, `\\server\share\tidings\secrets\jwt`,
		"${TIDINGS_JWT_KEY}", "${TIDINGS_JWT_KEY:?make one with openssl rand}",
		"$TIDINGS_JWT_KEY", "$(cat /run/secrets/jwt)", "$(openssl rand -base64 32)",
		"`cat /run/secrets/tidings/jwt`", "%TIDINGS_JWT_KEY%", "{{ .Values.tidings.jwtKey }}",
		"{{tidings_jwt_key_of_production_servers}}", "((tidings-jwt-key-of-production))",
		"<your-secret-goes-here-32-bytes-long>", "[insert-the-tidings-jwt-key-here-now]",
		`"/run/secrets/tidings/jwt/signing/key"`,
	} {
		t.Run("91 "+text, func(t *testing.T) {
			refusedSecret(t, text, "an address, a path or the name of a variable")
			refusedSecret(t, base64.StdEncoding.EncodeToString([]byte(text)), "an address, a path")
			refusedSecret(t, hex.EncodeToString([]byte(text+"\n")), "an address, a path")
		})
	}
	for _, text := range []string{"changeme-changeme-changeme-change",
		"please-change-this-in-production!"} {
		t.Run("91 "+text, func(t *testing.T) {
			refusedSecret(t, text, "can be guessed")
			refusedSecret(t, base64.StdEncoding.EncodeToString([]byte(text)), "can be guessed")
		})
	}
}

func TestGuessableSecrets(t *testing.T) {
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(i)
	}
	for _, text := range []string{
		strings.Repeat("0", 39) + "1", "1" + strings.Repeat("0", 39), strings.Repeat("ab", 16) + "1",
		strings.Repeat("abc123", 6) + "!", strings.Repeat("tidings-", 4) + "1",
		strings.Repeat("0123456789", 4), "abcdefghijklmnopqrstuvwxyz012345",
		"zyxwvutsrqponmlkjihgfedcba987654", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
		"aaaabbbbccccddddeeeeffffgggghhhh", "00112233445566778899aabbccddeeff",
		"deadbeefdeadbeefdeadbeefdeadbeef", "qwertzuiopasdfghjklyxcvbnm1234567890",
		"this is the secret of our own server", "a secret nobody will ever think of",
		"the-quick-brown-fox-jumps-over-the-lazy-dog", "OurCompanysOwnTokenSigningPhrase2026",
		"dieses geheimnis ist nicht geheim genug", "un secreto que nadie puede adivinar",
		base64.StdEncoding.EncodeToString(counting), base64.StdEncoding.EncodeToString(make([]byte, 32)),
		base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xa5, 0x5a, 0x77}, 11)),
		hex.EncodeToString(counting), hex.EncodeToString([]byte("the secret of our own server")),
	} {
		t.Run("91 "+text, func(t *testing.T) { refusedSecret(t, text, "can be guessed") })
	}
}

// TestRandomSecretsAreAccepted: the output of generators is accepted, but for one in many thousands.
func TestRandomSecretsAreAccepted(t *testing.T) {
	random := func(n int) []byte {
		b := make([]byte, n)
		rand.Read(b)
		return b
	}
	for name, make := range map[string]func() string{
		"openssl rand -base64 32": func() string {
			return base64.StdEncoding.EncodeToString(random(32))
		},
		"openssl rand -base64 48": func() string {
			return base64.StdEncoding.EncodeToString(random(48))
		},
		"openssl rand -hex 16": func() string { return hex.EncodeToString(random(16)) },
		"openssl rand -hex 32": func() string { return hex.EncodeToString(random(32)) },
		"base64url":            func() string { return base64.RawURLEncoding.EncodeToString(random(24)) },
		"UUID": func() string {
			u := random(16)
			return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused := 0
			for range 300 {
				text := make()
				if _, err := auth.NewVerifier(t.Context(), auth.Options{Key: []byte(text)}); err != nil {
					t.Logf("%q: %v", text, err)
					refused++
				}
			}
			if refused > 1 {
				t.Errorf("%d of 300 refused", refused)
			}
		})
	}
}

// TestRandomLooksLikeProse: random secrets with more common pairs of letters than most.
func TestRandomLooksLikeProse(t *testing.T) {
	for _, text := range []string{
		"AKW2jsUsommenstXGJcJcIet0arIDcEShLrimkqMetY=",
		"QIYDFIEERCLNGL3DULDAL3XWJ67KZDHINAVHATOKTWSTIA6KFOF3",
		"YOXPSTCMORGYEDETEAARDCA3OW56URQY5PHEUZTPMM7LIEMUTEBY",
	} {
		if _, err := auth.NewVerifier(t.Context(), auth.Options{Key: []byte(text)}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
