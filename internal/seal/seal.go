// Package seal keeps secrets in a log whose copies anybody may have: they are encrypted with a key in a file outside
// the log.
//
//	file := seal.NewFile(path)
//	sealed, err := file.Seal(secret, "delivery shop")
//	secret, err := file.Open(sealed, "delivery shop")
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

var (
	// ErrNoKey: the file is missing, or cannot be read.
	ErrNoKey = errors.New("the secrets key is missing")

	// ErrOtherKey: the secret was sealed with another key.
	ErrOtherKey = errors.New("sealed with another key than this secrets key")

	// ErrDamaged: the sealed secret was changed, or sealed for another purpose.
	ErrDamaged = errors.New("the sealed secret is damaged")
)

// File is a file with a key: 32 random bytes as base64, and a newline. It may be used concurrently.
type File struct {
	path string

	mu   sync.Mutex
	key  *key      // nil until read
	read time.Time // when it was read last
}

type key struct {
	aead cipher.AEAD
	id   [keyID]byte
}

const (
	keyBytes = 32 // AES-256
	keyID    = 8  // bytes of a hash of the key, to distinguish another key from damage
	version  = 1

	// againAfter is how long a key that does not fit is kept before the file is read again.
	againAfter = time.Second
)

// NewFile returns a File at path, which need not exist.
func NewFile(path string) *File { return &File{path: path} }

// Path returns the path of the file.
func (f *File) Path() string { return f.path }

// Seal encrypts a secret for a purpose. If the file does not exist it creates it, durably, with mode 0600.
//
//	version 1 | key ID 8 | nonce 12 | AES-256-GCM of the secret, with the purpose
func (f *File) Seal(secret []byte, purpose string) ([]byte, error) {
	k, err := f.load()
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.create(); err == nil {
			k, err = f.load()
		}
	}
	if err != nil {
		return nil, err
	}
	out := append([]byte{version}, k.id[:]...)
	return k.aead.Seal(out, nil, secret, []byte(purpose)), nil
}

// Open returns what was sealed for the purpose. Errors: ErrNoKey, ErrOtherKey, ErrDamaged. A file that is missing or
// unreadable is read again by the next call, one with another key after a second at the earliest.
func (f *File) Open(sealed []byte, purpose string) ([]byte, error) {
	k, err := f.keyOf(sealed)
	if err != nil {
		return nil, err
	}
	secret, err := k.aead.Open(nil, nil, sealed[1+keyID:], []byte(purpose))
	if err != nil {
		return nil, ErrDamaged
	}
	return secret, nil
}

// Check returns the error that Open would, as far as the key shows, without the work.
func (f *File) Check(sealed []byte) error {
	_, err := f.keyOf(sealed)
	return err
}

// keyOf returns the key that a secret was sealed with.
func (f *File) keyOf(sealed []byte) (*key, error) {
	if len(sealed) < 1+keyID || sealed[0] != version {
		return nil, ErrDamaged
	}
	k, err := f.load()
	if err == nil && [keyID]byte(sealed[1:]) != k.id {
		k, err = f.loadAgain()
	}
	if err != nil {
		return nil, err
	}
	if [keyID]byte(sealed[1:]) != k.id {
		return nil, fmt.Errorf("%w: %s", ErrOtherKey, f.path)
	}
	return k, nil
}

// load reads the file, unless it has been read. Errors: ErrNoKey.
func (f *File) load() (*key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key != nil {
		return f.key, nil
	}
	return f.readKey()
}

// loadAgain reads the file again, because it may have been replaced. Errors: ErrNoKey; then the last key is kept.
func (f *File) loadAgain() (*key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.read) < againAfter {
		return f.key, nil
	}
	return f.readKey()
}

// readKey reads the file. The caller holds mu.
func (f *File) readKey() (*key, error) {
	f.read = time.Now()
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != keyBytes {
		return nil, fmt.Errorf("%w: %s: expected the base64 of %d bytes", ErrNoKey, f.path, keyBytes)
	}
	k, err := newKey(raw)
	if err == nil {
		f.key = k
	}
	return k, err
}

func newKey(raw []byte) (*key, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("tidings secrets key\n"), raw...))
	return &key{aead, [keyID]byte(sum[:])}, nil
}

// create creates the file with a new key. A crash leaves none or a complete one. An existing one stays.
func (f *File) create() error {
	raw := make([]byte, keyBytes)
	_, _ = rand.Read(raw) // never fails
	dir := filepath.Dir(f.path)
	temp, err := os.CreateTemp(dir, filepath.Base(f.path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("make the secrets key: %w", err)
	}
	_, err = temp.WriteString(base64.StdEncoding.EncodeToString(raw) + "\n")
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		if err = os.Link(temp.Name(), f.path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err = errors.Join(err, os.Remove(temp.Name())); err != nil {
		return fmt.Errorf("make the secrets key: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make the secrets key: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
