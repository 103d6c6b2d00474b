package api

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// packerBytes is the memory of one that compresses.
const packerBytes = 1 << 20

// compressed answers with gzip or zstd when the client accepts it and the answer is large enough; its
// handler calls pack. Streams are never compressed: a proxy or a browser would hold back what is not
// yet a whole block.
func compressed(h http.HandlerFunc) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(true), gzhttp.MinSize(gzhttp.DefaultMinSize))
	if err != nil {
		panic(err) // of constant options
	}
	return wrap(h)
}

// pack is called when there is something to write, and not before: a handler may have waited for it.
// Without memory for one more that compresses, the answer stays as it is.
func pack(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Accept-Encoding") != "" && !visitOf(r).packer.set(packerBytes) {
		w.Header().Set(gzhttp.HeaderNoCompression, "memory") // which goes no further
	}
}
