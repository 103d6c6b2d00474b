package api

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// compressed answers with gzip or zstd when the client accepts it and the answer is large enough.
// Streams are never compressed: a proxy or a browser would hold back what is not yet a whole block.
func compressed(h http.HandlerFunc) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(true), gzhttp.MinSize(gzhttp.DefaultMinSize))
	if err != nil {
		panic(err) // of constant options
	}
	return wrap(h)
}
