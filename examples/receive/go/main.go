// Receives webhooks of a Tidings delivery: verifies each with the official library of Standard Webhooks, and appends
// it to a file once, however often it is sent.
//
//	WEBHOOK_SECRET=whsec_… go run ./go [-listen 127.0.0.1:4000] [FILE]
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const largest = 16 << 20 // bytes of a body

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:4000", "where to listen")
	flag.Parse()
	verifier, err := webhooks.NewWebhook(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		log.Fatalf("WEBHOOK_SECRET: want the delivery's secret, whsec_ and base64: %v", err)
	}
	r := &receiver{verifier: verifier, seen: map[string]bool{}}
	if err := r.open(cmp.Or(flag.Arg(0), "received.ndjson")); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	log.Fatal(http.Serve(listener, r))
}

// receiver stores messages in a file, each as a line, and knows which it has.
type receiver struct {
	verifier *webhooks.Webhook
	mu       sync.Mutex // over the others
	file     *os.File
	size     int64 // of the whole lines
	seen     map[string]bool
}

type message struct {
	ID   string `json:"id"`
	Body string `json:"body"`
}

// open reads which messages the file has. A line that a crash cut short is overwritten: it was never acknowledged.
func (r *receiver) open(name string) (err error) {
	if r.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	lines := bufio.NewReader(r.file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return r.file.Truncate(r.size)
		}
		var m message
		if err == nil {
			err = json.Unmarshal(line, &m)
		}
		if err != nil {
			return &fs.PathError{Op: "read", Path: name, Err: err}
		}
		r.seen[m.ID] = true
		r.size += int64(len(line))
	}
}

// ServeHTTP answers 204 once the message is on disk; anything else makes Tidings send it again.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, largest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := r.verifier.Verify(body, req.Header); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if err := r.store(message{req.Header.Get("Webhook-Id"), string(body)}); err != nil {
		log.Print(err)
		http.Error(w, "cannot store", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) store(m message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[m.ID] || strings.HasPrefix(m.ID, "test-") {
		return nil
	}
	line, err := json.Marshal(m)
	if err == nil {
		line = append(line, '\n')
		_, err = r.file.WriteAt(line, r.size)
	}
	if err == nil {
		err = r.file.Sync()
	}
	if err == nil {
		r.seen[m.ID] = true
		r.size += int64(len(line))
	}
	return err
}
