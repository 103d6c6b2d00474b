// Inbox is an app in which each user has an inbox of notifications:
//
//	go run . [-listen 127.0.0.1:3000]
//
// TIDINGS_URL is the server's address, TIDINGS_JWT_KEY the secret that both share.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"
)

//go:embed inbox.html
var page []byte

// userID matches a user's ID. It becomes part of a topic and of a grant: ">" would grant everybody's.
var userID = regexp.MustCompile(`^[0-9]+$`)

type app struct {
	url string // Tidings
	key []byte
}

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "address to listen on")
	flag.Parse()
	a := app{cmp.Or(os.Getenv("TIDINGS_URL"), "http://127.0.0.1:8080"),
		[]byte(os.Getenv("TIDINGS_JWT_KEY"))}
	if len(a.key) < 32 {
		log.Fatal("TIDINGS_JWT_KEY: the secret that the server was started with is missing")
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(page)
	})
	http.HandleFunc("GET /login/{user}", login)
	http.HandleFunc("GET /session", a.session)
	http.HandleFunc("POST /notify/{user}", a.notify)
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

// login stands in for your own sign-in, with a cookie that cannot be forged.
func login(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "user", Value: r.PathValue("user"), Path: "/",
		HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// session tells the page who its user is, and gives it a token for this user's inbox and nothing else.
func (a app) session(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie("user")
	if err != nil || !userID.MatchString(cookie.Value) {
		http.Error(w, "not signed in", http.StatusUnauthorized)
		return
	}
	inbox := "users." + cookie.Value
	token := mint(a.key, claims{
		Subject: cookie.Value, // read marks belong to it
		Expires: time.Now().Add(time.Hour).Unix(),
		Grant: grant{Subscribe: []string{inbox, inbox + ".reads"},
			Publish: []string{inbox + ".reads"}},
	})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"url": a.url, "inbox": inbox, "token": token})
}

// notify stands in for the places in your app that notify users. The key names the notice, such as order-1001-shipped:
// sent twice, it is one notice.
func (a app) notify(w http.ResponseWriter, r *http.Request) {
	user, key := r.PathValue("user"), cmp.Or(r.URL.Query().Get("key"), rand.Text())
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10_000))
	if err != nil || !userID.MatchString(user) {
		http.Error(w, "a user and a text, please", http.StatusBadRequest)
		return
	}
	data, err := json.Marshal(map[string]string{"text": string(text)})
	if err == nil {
		ctx, cancel := context.WithTimeoutCause(r.Context(), 30*time.Second,
			errors.New("the server is away"))
		defer cancel()
		err = a.publish(ctx, "users."+user, key, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// publish returns when the event is on disk. Whatever happens before that, it is stored once.
func (a app) publish(ctx context.Context, topic, key string, data []byte) error {
	for {
		status, err := a.post(ctx, topic, key, data)
		switch {
		case err == nil && status < 300:
			return nil
		case err == nil && status < 500 && status != http.StatusRequestTimeout &&
			status != http.StatusTooManyRequests:
			return fmt.Errorf("the server answered %d", status)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %v, %d", context.Cause(ctx), err, status)
		}
	}
}

func (a app) post(ctx context.Context, topic, key string, data []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		a.url+"/v1/topics/"+topic+"/events?type=notice", bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Authorization", "Bearer "+mint(a.key,
		claims{"app", time.Now().Add(time.Minute).Unix(), grant{Publish: []string{"users.*"}}}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
