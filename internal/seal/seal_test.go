package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/seal"
)

func TestSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.key")
	file := seal.NewFile(path)
	secret := []byte("whsec_secret")
	if _, err := file.Open(make([]byte, 60), "a"); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("open of zeros: %v, want ErrDamaged", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a key before the first use")
	}
	sealed, err := file.Seal(secret, "delivery a")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	text, _ := os.ReadFile(path)
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(string(text), "\n")); err != nil ||
		len(raw) != 32 {
		t.Errorf("the file has %q", text)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files, want the key alone", len(files))
	}
	if bytes.Contains(sealed, secret) {
		t.Error("the secret is readable")
	}
	again := seal.NewFile(path)
	if got, err := again.Open(sealed, "delivery a"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("opened %q (%v)", got, err)
	}
	if other, _ := again.Seal(secret, "delivery a"); bytes.Equal(other, sealed) {
		t.Error("the same secret is the same bytes")
	}
	if _, err := again.Open(sealed, "delivery b"); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("for another purpose: %v, want ErrDamaged", err)
	}
	for i := 9; i < len(sealed); i++ {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		if _, err := again.Open(flipped, "delivery a"); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("a bit of byte %d flipped: %v, want ErrDamaged", i, err)
		}
	}
}

// TestOtherKey: a missing, unreadable or different file is reported, and works again once it is back.
func TestOtherKey(t *testing.T) {
	dir := t.TempDir()
	path, away := filepath.Join(dir, "secrets.key"), filepath.Join(dir, "away")
	sealed, err := seal.NewFile(path).Seal([]byte("s"), "p")
	if err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(path, away)
	file := seal.NewFile(path)
	if _, err := file.Open(sealed, "p"); !errors.Is(err, seal.ErrNoKey) || !errors.Is(err, os.ErrNotExist) ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("without the file: %v, want ErrNoKey with the path", err)
	}
	if _, err := seal.NewFile(path).Seal(nil, "p"); err != nil { // a new key
		t.Fatal(err)
	}
	if _, err := seal.NewFile(path).Open(sealed, "p"); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("with another key: %v, want ErrOtherKey", err)
	}
	for _, bad := range []string{"", "short", base64.StdEncoding.EncodeToString(make([]byte, 31))} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Open(sealed, "p"); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("a file with %q: %v, want ErrNoKey", bad, err)
		}
		if _, err := file.Seal(nil, "p"); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("seal with %q: %v, want ErrNoKey: what is there is never replaced", bad, err)
		}
	}
	move(away, path)
	if got, err := file.Open(sealed, "p"); err != nil || string(got) != "s" {
		t.Errorf("with the file back: %q (%v)", got, err)
	}
}

// TestKeyPutBack: the right file in place of another key's is used without a restart, though not within a second; a
// key that fits is kept while its file is away.
func TestKeyPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path, away := filepath.Join(dir, "secrets.key"), filepath.Join(dir, "away")
		sealed, err := seal.NewFile(away).Seal([]byte("s"), "p")
		if err != nil {
			t.Fatal(err)
		}
		file := seal.NewFile(path)
		other, err := file.Seal([]byte("o"), "p")
		if err != nil {
			t.Fatal(err)
		}
		expect := func(sealed []byte, want error) {
			t.Helper()
			if _, err := file.Open(sealed, "p"); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		}
		expect(sealed, seal.ErrOtherKey)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		expect(sealed, seal.ErrNoKey)
		expect(other, nil)
		if err := os.Rename(away, path); err != nil {
			t.Fatal(err)
		}
		expect(sealed, seal.ErrOtherKey)
		time.Sleep(time.Second)
		expect(sealed, nil)
		expect(other, seal.ErrOtherKey)
	})
}

// TestFirstUse: if many create the file at once, all use one key.
func TestFirstUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.key")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			sealed, err := seal.NewFile(path).Seal([]byte("s"), "p")
			if err == nil {
				_, err = seal.NewFile(path).Open(sealed, "p")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
