package examples_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tidings/internal/e2e"
)

const receiverSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestReceivers runs each program of the folder receive: it stores each event once, in order, though events are sent
// again and it is killed in the middle of a line, and nothing that is not signed or was signed long ago.
func TestReceivers(t *testing.T) {
	t.Parallel()
	programs := map[string][]string{
		"go":     nil,
		"python": {"python3", "receive/receive.py"},
		"node":   {"node", "receive/receive.mjs"},
		"java":   {"java", "receive/Receive.java"},
	}
	for name, command := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "java" && !full() {
				t.Skip("runs only with TIDINGS_FULL=1: a JDK is not everywhere")
			}
			if command == nil {
				command = []string{build(t, "receive/go")}
			}
			e2e.Need(t, command[0])
			testReceiver(t, command)
		})
	}
}

func testReceiver(t *testing.T, command []string) {
	r := receiver{t, append(command, "-listen", freeAddr(t), filepath.Join(t.TempDir(), "received"))}
	s := newPlace(t)
	s.start(t, nil, "--deliver-to", "127.0.0.0/8", "--deliver-http")
	stop := r.start()
	if resp, answer := send(t, http.MethodPut, s.url()+"/v1/deliveries/shop", nil,
		fmt.Sprintf(`{"url":%q,"topics":["orders"],"secret":%q}`, r.url(), receiverSecret)); resp.StatusCode/100 != 2 {
		t.Fatalf("create the delivery: %s %s", resp.Status, answer)
	}
	var want []string
	for range 3 {
		want = append(want, s.publish(t, "orders", "created", `{"name":"Zoë"}`))
	}
	r.has(want)
	awaitDelivery(t, s, "cursor after all events", func(d delivery) bool { return d.Cursor == want[2] })
	if resp, answer := send(t, http.MethodPost, s.url()+"/v1/deliveries/shop/replay", nil,
		`{"since":"earliest"}`); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("replay: %s %s", resp.Status, answer)
	}
	awaitDelivery(t, s, "end of the replay", func(d delivery) bool { return d.Run.State == "done" && d.Run.Sent == 3 })
	stop()
	r.tear()
	stop = r.start()
	want = append(want, s.publish(t, "orders", "created", `{}`))
	r.has(want)

	r.post(http.StatusNoContent, "own", time.Now(), "{}")
	r.post(http.StatusNoContent, "own", time.Now(), "{}")
	r.post(http.StatusNoContent, "test-1", time.Now(), "{}")
	r.post(http.StatusUnauthorized, "late", time.Now().Add(-time.Hour), "{}")
	r.post(http.StatusUnauthorized, "early", time.Now().Add(time.Hour), "{}")
	r.post(http.StatusUnauthorized, "changed", time.Now(), "[]")
	r.has(append(want, "own"))
	stop()
}

type delivery struct {
	Cursor string
	Run    struct {
		State string
		Sent  int
	}
}

func awaitDelivery(t *testing.T, s *place, what string, is func(delivery) bool) {
	t.Helper()
	e2e.Eventually(t, what, func() bool {
		_, answer := send(t, http.MethodGet, s.url()+"/v1/deliveries/shop", nil, "")
		var d delivery
		return json.Unmarshal(answer, &d) == nil && is(d)
	})
}

// receiver is a program with its last three arguments: -listen, its address, its file.
type receiver struct {
	t       *testing.T
	command []string
}

func (r receiver) url() string  { return "http://" + r.command[len(r.command)-2] }
func (r receiver) file() string { return r.command[len(r.command)-1] }

// start starts the program and returns a function that kills it.
func (r receiver) start() (stop func()) {
	r.t.Helper()
	cmd := exec.Command(r.command[0], r.command[1:]...)
	cmd.Env = append(e2e.Environ(), "WEBHOOK_SECRET="+receiverSecret)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	}
	r.t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "listening on ") {
		r.t.Fatalf("%v says %q: %v", r.command, line, err)
	}
	return stop
}

// has waits until the file has as many messages as wanted, and compares their IDs.
func (r receiver) has(want []string) {
	r.t.Helper()
	var got []string
	e2e.Eventually(r.t, fmt.Sprintf("file with %d messages", len(want)), func() bool {
		content, err := os.ReadFile(r.file())
		if err != nil {
			r.t.Fatal(err)
		}
		got = nil
		for line := range strings.Lines(string(content)) {
			var m struct{ ID string }
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				m.ID, _, _ = strings.Cut(line, " ")
			}
			got = append(got, m.ID)
		}
		return len(got) >= len(want)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("received (-want +got):\n%s", diff)
	}
}

// tear leaves in the file what a crash in the middle of a write may.
func (r receiver) tear() {
	r.t.Helper()
	file, err := os.OpenFile(r.file(), os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = file.WriteString(`{"id": "half`)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// post sends a message that was signed at a time with the body {}.
func (r receiver) post(want int, id string, signed time.Time, body string) {
	r.t.Helper()
	signer, err := webhooks.NewWebhook(receiverSecret)
	if err != nil {
		r.t.Fatal(err)
	}
	signature, err := signer.Sign(id, signed, []byte("{}"))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, answer := send(r.t, http.MethodPost, r.url(), http.Header{
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {strconv.FormatInt(signed.Unix(), 10)},
		"Webhook-Signature": {"v1,AAAA " + signature},
	}, body)
	if resp.StatusCode != want {
		r.t.Errorf("%s: %s %s, want %d", id, resp.Status, answer, want)
	}
}
