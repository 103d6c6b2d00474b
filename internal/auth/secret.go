package auth

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// minSecretBytes is the size of the hash of HS256 (RFC 7518 §3.2).
const minSecretBytes = 32

const makeSecret = "make one with: openssl rand -base64 32"

// parseSecrets returns the HMAC secrets of a text, one a line, at least one. A long secret as openssl and base64 print
// it is one, though it has several lines: all but the last have the same length, which is too short for a
// secret.
func parseSecrets(text []byte) (secrets [][]byte, err error) {
	lines := bytes.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	whole := [][]byte{text}
	if n := len(lines); n < 2 || !isText(text) || isWrapped(lines[:n-1], lines[n-1]) {
		return whole, checkSecret(text)
	}
	if slices.ContainsFunc(readings(text), isKey) { // its lines, each alone, may look like secrets
		return whole, checkSecret(text)
	}
	for i, line := range lines {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := checkSecret(line); err != nil {
			return whole, fmt.Errorf("line %d: %w", i+1, err)
		}
		secrets = append(secrets, line)
	}
	return secrets, nil
}

func isWrapped(lines [][]byte, last []byte) bool {
	return len(lines[0]) >= 64 && len(last) < minSecretBytes &&
		!slices.ContainsFunc(lines, func(line []byte) bool { return len(line) != len(lines[0]) })
}

// checkSecret refuses HMAC secrets that can be guessed, and texts that are not secrets: whoever knows a public key
// could sign with it, and addresses and names of variables are in manuals.
func checkSecret(secret []byte) error {
	if len(secret) == 0 {
		return errors.New("no key for tokens; " + makeSecret)
	}
	if isUTF16(secret) {
		return errors.New("the key is in UTF-16: save it as UTF-8, without line ends inside")
	}
	all := readings(secret)
	switch {
	case slices.ContainsFunc(all, isKey):
		return errors.New(
			"this is a key in a form that is not supported, or a damaged one: expected an HMAC " +
				"secret or a whole PEM block; take base64 and hex off it first")
	case slices.ContainsFunc(all, isToken):
		return errors.New("this is a token or other JSON where a key is expected: expected an " +
			"HMAC secret or a PEM block")
	case slices.ContainsFunc(all, isAddress):
		return errors.New("this is an address, a path or the name of a variable where a key is " +
			"expected: --jwks-url takes an address, --jwt-key-file a path, and no variable in it " +
			"is filled in")
	case len(secret) < minSecretBytes:
		return fmt.Errorf("an HMAC secret has at least %d bytes, this one %d; %s", minSecretBytes,
			len(secret), makeSecret)
	case slices.ContainsFunc(all, isExample), slices.ContainsFunc(all, isGuessable):
		return errors.New("this HMAC secret is an example or can be guessed; " + makeSecret)
	}
	return nil
}

// addresses match texts that say where a key is. Each pattern excludes, but for one in 10⁵, random secrets in base64.
var addresses = regexp.MustCompile(strings.Join([]string{
	`^(?i:[a-z][a-z0-9+.-]*://|(file|data|env|arn|urn|vault|ref|secretref):)`,
	`^@?(~|\.{1,2})/[\w./~+@: -]*$`, `^@/?[\w./~+@:-]+$`, // @FILE is curl's
	`^/[\w./~+@: -]*[._~@: -][\w./~+@: -]*$`, // an absolute path, with characters that base64 lacks
	`^[A-Za-z]:[\\/]`, `^\\\\`,
	`(?i)^[\w./\\~+@: -]+\.(pem|key|crt|cer|der|pub|json|jwks?|txt|env|secret)$`,
	`\$\{\w[^}]*\}`, `\$\(\s*\w[^)]*\)`, `\{\{.*\}\}`, `^\$[A-Za-z_]\w*$`, `^%\w+%$`, "^`.*`$",
	`^[#%]\{.*\}$`, `^\(\(.*\)\)$`, `^<.*>$`, `^\[.*\]$`, `^!\w+ `,
}, "|"))

func isAddress(secret []byte) bool {
	if !isText(secret) {
		return false
	}
	text := strings.Trim(string(secret), "\"' \t\r\n")
	return addresses.MatchString(text) || isPlainPath(text)
}

// isPlainPath distinguishes a path from the one in 64 random secrets that begin with a slash: those mix upper and lower
// case and digits, or end in the padding of base64.
func isPlainPath(text string) bool {
	if !strings.HasPrefix(text, "/") || strings.HasSuffix(text, "=") {
		return false
	}
	upper, lower := 0, 0
	for _, r := range text {
		switch {
		case unicode.IsLower(r):
			lower++
		case r == '/' || unicode.IsUpper(r) || unicode.IsDigit(r):
			upper++
		default:
			return false // addresses has checked it
		}
	}
	return upper*4 < len(text) || lower*10 < len(text)
}

// isToken recognises JSON, and JWTs by their header.
func isToken(secret []byte) bool {
	if !isText(secret) {
		return false
	}
	text := bytes.TrimLeft(secret, "\"' \t\r\n")
	header, _, more := bytes.Cut(text, []byte("."))
	return object.Match(text) || more && slices.ContainsFunc(decodings(header), object.Match)
}

var object = regexp.MustCompile(`^\{\s*["'}]`)

// isExample recognises secrets from the documentation of widely used servers, and the phrases that such examples
// consist of. A random secret does not contain one: the odds are below one in 10⁸.
func isExample(secret []byte) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, string(secret))
	return slices.ContainsFunc([]string{
		"changeme", "changethis", "changeit", "replaceme", "replacethis", "pleasechange",
		"changeinproduction", "placeholder", "insertyour", "entersecret", "examplekey",
		"examplesecret",
		"supersecret", "topsecret", "verysecret", "secretkey", "mysecret", "yoursecret",
		"jwtsecret", "password",
		"256bit", "384bit", "512bit", "atleast32", "32bytes", "32characters", "verysafe",
		"donotuse", "insecure",
		"0123456789", "1234567890", "abcdefghij", "qwerty", "asdfgh", "deadbeef",
		"quickbrownfox", "correcthorse", "loremipsum",
		"bbe7d157a25340949759", // Centrifugo
		"404e635266556a586e32", // tutorials on Spring Security
		"3ek6fdo0c7tzbnvfjpmk", // Hasura
		"aym1syspbydfgzld3umj", // RFC 7515 §A.1
	}, func(example string) bool { return strings.Contains(letters, example) })
}
