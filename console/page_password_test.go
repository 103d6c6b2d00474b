package console_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings/internal/auth"
)

// TestConsolePassword: behind a proxy that asks for a password, signing in and reading work as elsewhere. The page is
// opened as by bookmarks and kiosks, with the password in its address.
func TestConsolePassword(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	token := s.mint(t, auth.Grant{Subject: "ada", Publish: filter(">"), Subscribe: filter(">")})
	dir := t.TempDir()
	passwords := filepath.Join(dir, "passwords")
	err := errors.Join(os.WriteFile(passwords, []byte("ann:{PLAIN}secret\n"), 0o644),
		os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)) // nginx's workers run as another user
	if err != nil {
		t.Fatal(err)
	}
	proxy := startNginx(t, strings.TrimPrefix(s.URL, "http://"),
		"auth_basic console; auth_basic_user_file "+passwords+";")
	s.URL = strings.Replace(proxy, "//", "//ann:secret@", 1)
	tb := p.openConsole(t, s, "/")
	s.URL = proxy // the URL of the page's requests
	tb.asksForToken(t, "")
	tb.enters(t, "#token", token)
	tb.presses(t, "Sign in")
	tb.isLive(t)
	s.publish(t, "orders", 1)
	tb.sees(t, ".feed", "orders")
	tb.presses(t, "Settings")
	tb.presses(t, "Sign out")
	tb.asksForToken(t, "")
}
