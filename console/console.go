// Package console embeds the admin console and the browser client that it is built on.
//
// app/ is the console: a page, its style and its modules, which use only the public HTTP API. client/ is the browser
// client, an npm package of its own. Neither is built: the files are served as they are.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"path"
	"strings"
)

//go:embed app client/tidings.js client/tidings.d.ts client/locks.js client/alarm.js client/alarm.d.ts
//go:embed client/presence.js client/presence.d.ts
//go:embed client/push.js client/push.d.ts client/sw.js
var files embed.FS

// Policy is the Content-Security-Policy of every file: scripts, styles and connections only of this origin, nothing
// inline, no text that turns into script or markup (Trusted Types) except the address of the service worker, for which
// push.js has the only policy. Images may be drawn by a script, like the favicon that shows a count.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for " +
	"'script'; trusted-types tidings-worker"

// File is a file as served.
type File struct {
	Content []byte // must not be changed
	Type    string // for Content-Type
	ETag    string // strong (RFC 9110 §8.8.3)
}

// Open returns the file served at a URL's path: the console's page at /, what it loads below /console/, the browser
// client at /tidings.js, its locks for plain HTTP at /locks.js, the element <tidings-alarm> at /alarm.js, the module
// that reports what a page can do at /presence.js, pushes at /push.js, and their service worker at /sw.js.
func Open(urlPath string) (File, bool) {
	name := "client" + urlPath
	if urlPath == "/" {
		name = "app/index.html"
	} else if asset, ok := strings.CutPrefix(urlPath, "/console/"); ok {
		name = "app/" + asset
	}
	content, err := files.ReadFile(name)
	if err != nil {
		return File{}, false
	}
	sum := sha256.Sum256(content)
	return File{content, mediaType(name),
		`"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`}, true
}

func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".webmanifest":
		return "application/manifest+json"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}
