// Answer is a page that asks a question and gets the answer word by word:
//
//	go run . [-listen 127.0.0.1:3000]
//
// TIDINGS_URL is the server's address, TIDINGS_TOKEN the token to publish with.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

//go:embed answer.html
var page string

// server is where the answers are published.
type server struct{ url, token string }

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "address to listen on")
	flag.Parse()
	s := server{cmp.Or(os.Getenv("TIDINGS_URL"), "http://127.0.0.1:8080"),
		os.Getenv("TIDINGS_TOKEN")}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.ReplaceAll(page, "http://127.0.0.1:8080", s.url))
	})
	http.HandleFunc("POST /ask", s.ask)
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

// ask starts an answer, and returns its ID.
func (s server) ask(w http.ResponseWriter, r *http.Request) {
	id, question := rand.Text(), r.FormValue("question") // nobody can guess the ID
	go func() {                                          // continues when the page is closed
		if err := s.answer(context.Background(), "answers."+id, question); err != nil {
			log.Printf("answer %s: %v", id, err)
		}
	}()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":%q}`, id)
}

// answer publishes the words of an answer to its own topic, and ends the topic.
func (s server) answer(ctx context.Context, topic, question string) error {
	n := 0
	for word := range generate(question) {
		data, err := json.Marshal(word)
		if err != nil {
			return err
		}
		n++
		// A word that is sent twice, because a response got lost, is one event.
		if err := s.post(ctx, "/v1/topics/"+topic+"/events?type=word",
			fmt.Sprintf("%s-%d", topic, n), data); err != nil {
			return err
		}
	}
	return s.post(ctx, "/v1/topics/"+topic+"/end", "", nil)
}

// generate stands in for the model.
func generate(question string) iter.Seq[string] {
	text := "You asked: " + question + ". Here is what I know of it, one word after the other."
	return func(yield func(string) bool) {
		pace := time.Tick(50 * time.Millisecond)
		for word := range strings.SplitAfterSeq(text, " ") {
			if <-pace; !yield(word) {
				return
			}
		}
	}
}

// post retries until the event is stored.
func (s server) post(ctx context.Context, path, key string, data []byte) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path,
			bytes.NewReader(data))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		if s.token != "" {
			req.Header.Set("Authorization", "Bearer "+s.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			switch status := resp.StatusCode; {
			case status < 300:
				return nil
			case status < 500 && status != http.StatusRequestTimeout &&
				status != http.StatusTooManyRequests:
				return fmt.Errorf("%s was answered with %s", path, resp.Status)
			}
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
