// Webhook turns the webhooks of WooCommerce and GitHub into events:
//
//	go run . [-listen 127.0.0.1:3000] [-patience 8s]
//
// WOOCOMMERCE_SECRET and GITHUB_SECRET are the webhooks' secrets, TIDINGS_URL is the server's address, TIDINGS_TOKEN
// the token to publish with.
package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

// maxBody is GitHub's maximum, 25 MB.
const maxBody = 25 << 20

// hook is an address that a shop delivers to.
type hook struct {
	secret    []byte
	signature func(http.Header) ([]byte, error)
	translate func(h http.Header, body []byte) (draft, error)
	publish   func(ctx context.Context, d draft) error
	patience  time.Duration // how long to wait for Tidings, before the shop stops waiting for us
}

// draft is an event to publish.
type draft struct {
	key         string // the same for a redelivery
	topic, kind string // empty for a delivery that is not an event here
	data        []byte
}

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "address to listen on")
	patience := flag.Duration("patience", 8*time.Second,
		"how long a delivery may take; GitHub waits 10s")
	flag.Parse()
	t := tidings{cmp.Or(os.Getenv("TIDINGS_URL"), "http://127.0.0.1:8080"),
		os.Getenv("TIDINGS_TOKEN")}
	http.Handle("POST /woocommerce",
		hook{secret("WOOCOMMERCE_SECRET"), wooSignature, wooDraft, t.publish, *patience})
	http.Handle("POST /github", hook{secret("GITHUB_SECRET"), gitHubSignature, gitHubDraft,
		t.publish, *patience})
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

// secret requires one: with an empty key anyone can sign.
func secret(name string) []byte {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is not set", name)
	}
	return []byte(value)
}

func (h hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, err := h.deliver(w, r)
	if err != nil {
		log.Printf("%s: %d: %v", r.URL.Path, status, err)
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.WriteHeader(status)
}

// deliver returns 200 when the event is on disk, or when there is none.
func (h hook) deliver(w http.ResponseWriter, r *http.Request) (status int, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return http.StatusRequestEntityTooLarge, err
	}
	if isWooPing(r, body) {
		return http.StatusOK, nil
	}
	signature, err := h.signature(r.Header)
	if err != nil {
		return http.StatusUnauthorized, err
	}
	mac := hmac.New(sha256.New, h.secret)
	mac.Write(body)
	if !hmac.Equal(signature, mac.Sum(nil)) { // in constant time
		return http.StatusUnauthorized, errors.New("the signature is wrong")
	}
	d, err := h.translate(r.Header, body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	if d.topic == "" {
		return http.StatusOK, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.patience)
	defer cancel()
	if err := h.publish(ctx, d); err != nil {
		return http.StatusServiceUnavailable, err
	}
	return http.StatusOK, nil
}
