package api

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// packerBytes is the memory of one that compresses.
const packerBytes = 1 << 20

// compressed answers with gzip or zstd when the client accepts it, the answer is large enough, and
// there is memory for one more to do that. Streams are never compressed: a proxy or a browser would
// hold back what is not yet a whole block.
func compressed(h http.HandlerFunc) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(true), gzhttp.MinSize(gzhttp.DefaultMinSize))
	if err != nil {
		panic(err) // of constant options
	}
	packed := wrap(h)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") == "" || !visitOf(r).packer.set(packerBytes) {
			h(w, r)
			return
		}
		packed(w, r)
	}
}
