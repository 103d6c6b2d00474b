package api_test

import (
	"strings"
	"testing"
)

// TestConsole: the console and the browser client have a policy that lets nothing in from elsewhere, and are
// revalidated rather than cached forever.
func TestConsole(t *testing.T) {
	s := start(t)
	for path, want := range map[string]struct{ mediaType, text string }{
		"/":                            {"text/html; charset=utf-8", "<!doctype html>"},
		"/tidings.js":                  {"text/javascript; charset=utf-8", "export class Tidings"},
		"/tidings.d.ts":                {"text/plain; charset=utf-8", "export class Tidings"},
		"/locks.js":                    {"text/javascript; charset=utf-8", "export const locks"},
		"/alarm.js":                    {"text/javascript; charset=utf-8", "export class TidingsAlarm"},
		"/alarm.d.ts":                  {"text/plain; charset=utf-8", "export class TidingsAlarm"},
		"/presence.js":                 {"text/javascript; charset=utf-8", "export class Presence"},
		"/presence.d.ts":               {"text/plain; charset=utf-8", "export class Presence"},
		"/console/api.js":              {"text/javascript; charset=utf-8", "export"},
		"/console/style.css":           {"text/css; charset=utf-8", "{"},
		"/push.js":                     {"text/javascript; charset=utf-8", "export async function push("},
		"/push.d.ts":                   {"text/plain; charset=utf-8", "export function push("},
		"/sw.js":                       {"text/javascript; charset=utf-8", "notificationclick"},
		"/console/tidings.webmanifest": {"application/manifest+json", "standalone"},
	} {
		a := s.do("GET", path, "")
		if got := a.header.Get("Content-Type"); a.status != 200 || got != want.mediaType ||
			!strings.Contains(a.body, want.text) {
			t.Errorf("GET %s: %d %s, want 200 %s with %q:\n%.200s", path, a.status, got,
				want.mediaType, want.text, a.body)
		}
		policy := a.header.Get("Content-Security-Policy")
		for _, rule := range []string{"default-src 'none'", "script-src 'self';",
			"style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "manifest-src 'self';",
			"trusted-types tidings-worker"} {
			if !strings.Contains(policy, rule) {
				t.Errorf("GET %s: the policy %q lacks %q", path, policy, rule)
			}
		}
		if head := s.do("HEAD", path, ""); head.status != 200 || head.body != "" ||
			head.header.Get("Content-Length") == "" {
			t.Errorf("HEAD %s: %d with %d bytes, Content-Length %q", path, head.status,
				len(head.body), head.header.Get("Content-Length"))
		}
		again := s.do("GET", path, "", "If-None-Match: "+a.header.Get("ETag"))
		if again.status != 304 || again.body != "" ||
			again.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("GET %s with its ETag: %d, Cache-Control %q, %d bytes", path, again.status,
				again.header.Get("Cache-Control"), len(again.body))
		}
	}
	for _, path := range []string{"/console/nothing.js", "/console/%2e%2e%2fconsole.go",
		"/console/..%2fclient%2ftidings.js", "/console.go", "/client/tidings.js"} {
		if a := s.do("GET", path, ""); a.status == 200 {
			t.Errorf("GET %s: %d %.100s", path, a.status, a.body)
		}
	}
}
