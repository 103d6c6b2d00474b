package loopback_test

import (
	"testing"

	"tidings/internal/loopback"
)

func TestIsAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"localhost:80": true, "127.0.0.1:80": true, "127.9.9.9:": true, "[::1]:80": true,
		"":        false,
		":80":     false,
		"[::]:80": false, "0.0.0.0:80": false, "192.0.2.1:80": false,
		"localhost": false, "127.0.0.1": false, "::1": false, // without a port
		"localhost.example.com:80": false, "a.localhost:80": false,
		"127.0.0.1.example.com:80": false,
	} {
		if got := loopback.IsAddress(address); got != want {
			t.Errorf("IsAddress(%q) = %v, want %v", address, got, want)
		}
	}
}
