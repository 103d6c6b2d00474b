package auth

import (
	"bytes"
	"math"
	"strings"
	"unicode"
)

const (
	// minSecretBits is the minimum for a secret, by the estimate of bitsOf. It is well below the 128 bits of a good
	// one, because the estimate may be too low by chance.
	minSecretBits = 80

	// bitsOfProse is what a character of plain language adds, rounded up: people who guess the next one need 1.3
	// (Shannon, Prediction and Entropy of Printed English, 1951).
	bitsOfProse = 1.5
)

func isGuessable(secret []byte) bool { return bitsOf(secret) < minSecretBits }

// bitsOf estimates how many bits describe the secret to somebody who sees repetitions, runs such as 1234 and 0000, the
// alphabet and plain language. A random secret of n bits is not far below n.
func bitsOf(secret []byte) float64 {
	secret = secret[:min(len(secret), 256)] // this is enough, and bounds the work
	alphabet := math.Log2(float64(alphabetOf(secret)))
	bits := 0.0
	for i := 0; i < len(secret); {
		if n := max(repeated(secret, i), running(secret, i)); n >= 4 {
			bits += math.Log2(float64(i + 1))
			i += n
			continue
		}
		bits += alphabet
		i++
	}
	if isProse(secret) {
		return min(bits, bitsOfProse*float64(len(secret)))
	}
	return bits
}

// alphabetOf is the number of characters that the secret seems to be drawn from.
func alphabetOf(secret []byte) int {
	if !isText(secret) {
		return 256
	}
	size, distinct := 0, map[byte]bool{}
	for _, class := range []struct {
		is   func(rune) bool
		size int
	}{{unicode.IsDigit, 10}, {unicode.IsLower, 26}, {unicode.IsUpper, 26},
		{func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }, 32}} {
		if bytes.ContainsFunc(secret, class.is) {
			size += class.size
		}
	}
	for _, b := range secret {
		distinct[b] = true
	}
	return min(size, 2*len(distinct)) // few distinct characters seldom come from a large alphabet
}

// repeated is how much of secret[i:] also begins before i.
func repeated(secret []byte, i int) (longest int) {
	for from := range i {
		n := 0
		for i+n < len(secret) && secret[from+n] == secret[i+n] {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

// running is how far secret[i:] continues what comes before it in equal steps: of each byte, or of every second, third
// or fourth.
func running(secret []byte, i int) (longest int) {
	for lag := 1; lag <= 4; lag++ {
		n := i
		for n >= 2*lag && n < len(secret) &&
			secret[n]-secret[n-lag] == secret[n-lag]-secret[n-2*lag] {
			n++
		}
		longest = max(longest, n-i)
	}
	return longest
}

// commonPairs are the most frequent pairs of letters in English, and some of other European languages.
const commonPairs = " th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et " +
	"ng of al de se le sa si ar ve ra ld ur ro ic me co ch ei ge ie be un qu la ne li ri ma el us "

// isProse reports whether three in ten neighbours are common pairs of letters of one case, or a capital and such a
// letter. In a random secret in base64 fewer than one in 25 are, in base32 one in 14.
func isProse(secret []byte) bool {
	if !isText(secret) {
		return false
	}
	common, pairs := 0, 0
	text := string(secret)
	for i := 0; i+2 <= len(text); i++ {
		pair := text[i : i+2]
		if strings.IndexByte(pair, ' ') >= 0 {
			continue
		}
		pairs++
		lower := strings.ToLower(pair[:1]) + pair[1:]
		if pair == strings.ToUpper(pair) {
			lower = strings.ToLower(pair)
		}
		if strings.Contains(commonPairs, " "+lower+" ") {
			common++
		}
	}
	return pairs > 0 && common*10 >= 3*pairs
}
