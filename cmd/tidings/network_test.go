package main

import "testing"

// TestOrigin: an origin is kept as browsers send it, in lower case and without its scheme's default port.
func TestOrigin(t *testing.T) {
	for given, want := range map[string]origin{
		"HTTPS://App.Example.com":      "https://app.example.com",
		"https://app.example.com:443":  "https://app.example.com",
		"http://app.example.com:80":    "http://app.example.com",
		"http://app.example.com:443":   "http://app.example.com:443",
		"https://app.example.com:8443": "https://app.example.com:8443",
		"https://[2001:DB8:0:0::1]":    "https://[2001:db8::1]",
		"capacitor://localhost":        "capacitor://localhost",
		"tauri://localhost":            "tauri://localhost",
		"chrome-extension://abcdef":    "chrome-extension://abcdef",
		"http://localhost":             "http://localhost",
	} {
		var got origin
		if err := got.UnmarshalText([]byte(given)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", given, got, err, want)
		}
	}
}
