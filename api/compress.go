package api

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// packerBytes is the memory of one compressor.
const packerBytes = 1 << 20

// compressed answers with gzip or zstd when the client accepts it and the response is large enough; its handler calls
// pack. Streams are never compressed: a proxy or a browser would hold back an incomplete block.
func compressed(h http.HandlerFunc) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(true), gzhttp.MinSize(gzhttp.DefaultMinSize))
	if err != nil {
		panic(err) // the options are constant
	}
	return wrap(h)
}

// pack is called when there is something to write, and not before: a handler may have waited for it. Without memory
// for another compressor the response stays uncompressed.
func pack(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Accept-Encoding") != "" && !visitOf(r).packer.set(packerBytes) {
		w.Header().Set(gzhttp.HeaderNoCompression, "memory") // which is not sent on
	}
}
