package examples_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// testLate lets a transaction that has taken the first place in the outbox commit after others, which are published by
// then. It is still published. Then the poller is killed, and a standby takes over.
func testLate(t *testing.T, s *shop) {
	ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	stream, err := e2e.Subscribe(ctx, &http.Client{Transport: transport}, s.server.URL(),
		"topic=orders&since=earliest", "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	commit := s.placeLate(t)
	if out, err := s.db.run(t, placeBy("early", 1, s.place)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	// not the front's: nothing fails here
	s.poller.env = append(s.poller.env, "TIDINGS_URL="+s.server.URL())
	exited := s.poller.start(t, false)
	wantNext(t, stream, "early")
	commit()
	wantNext(t, stream, "late")

	standby := poller{program: s.poller.program, env: s.poller.env}
	standby.start(t, false)
	s.poller.kill()
	<-exited
	if out, err := s.db.run(t, placeBy("last", 3, s.place)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantNext(t, stream, "last")
}

// placeLate places an order in a transaction that is still open when it returns.
func (s *shop) placeLate(t *testing.T) (commit func()) {
	t.Helper()
	session := s.db.psql(t)
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	beforeCommit, _, _ := strings.Cut(placeBy("late", 2, s.place), "COMMIT;")
	if _, err := io.WriteString(in, beforeCommit+"SELECT 'placed';\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "placed\n" {
		t.Fatalf("psql says %q: %v", line, err)
	}
	return func() {
		t.Helper()
		_, err := io.WriteString(in, "COMMIT;\n")
		if err == nil {
			err = in.Close()
		}
		if err == nil {
			err = session.Wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wantNext reads the next event of the log.
func wantNext(t *testing.T, stream *e2e.Stream, customer string) {
	t.Helper()
	for {
		event, err := stream.Next()
		if err != nil {
			t.Fatalf("waiting for the order of %s: %v", customer, err)
		}
		if e2e.IsControl(event) {
			continue
		}
		if o := decode(t, event); o.Customer != customer {
			t.Fatalf("the next order is that of %s, want %s", o.Customer, customer)
		}
		return
	}
}
