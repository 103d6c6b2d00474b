package deliver_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/deliver"
	"tidings/internal/e2e"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
)

// mailServer is a submission server (RFC 6409) that knows one user and one mailbox, requires TLS before a password (RFC
// 3207, 4954), and refuses bare line ends and lines above 998 bytes (RFC 5321 §2.3.8, RFC 5322 §2.1.1).
type mailServer struct {
	listener net.Listener
	secure   *tls.Config
	implicit bool // TLS from the first byte

	mu      sync.Mutex
	replyTo map[string]string // replies instead of its own, by verb, each once
	mails   []string
	hellos  []string
}

func newMailServer(t *testing.T, implicit bool) (*mailServer, *x509.CertPool) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{listener: listener, secure: &tls.Config{Certificates: web.TLS.Certificates}, implicit: implicit,
		replyTo: map[string]string{}}
	var over sync.WaitGroup
	over.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			over.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		over.Wait()
	})
	return s, roots
}

func (s *mailServer) url() string {
	return map[bool]string{true: "smtps://", false: "smtp://"}[s.implicit] + s.listener.Addr().String()
}

// serve serves a session.
func (s *mailServer) serve(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(e2e.Patience))
	isTLS := s.implicit
	if isTLS {
		conn = tls.Server(conn, s.secure)
	}
	r, user := bufio.NewReader(conn), false
	fmt.Fprint(conn, "220 mail.example.com ESMTP\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		reply := s.command(strings.TrimRight(line, "\r\n"), &isTLS, &user)
		fmt.Fprint(conn, reply+"\r\n")
		switch reply[:3] {
		case "221":
			return
		case "354":
			reply = s.take(r)
			if reply != "" {
				fmt.Fprint(conn, reply+"\r\n")
			} else {
				return
			}
		case "220":
			conn = tls.Server(conn, s.secure)
			r, isTLS = bufio.NewReader(conn), true
		}
	}
}

// command is the reply to a line.
func (s *mailServer) command(line string, isTLS, user *bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	verb, rest, _ := strings.Cut(line, " ")
	if reply := s.replyTo[verb]; reply != "" {
		delete(s.replyTo, verb)
		return reply
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00shop\x00pass word"))
	switch {
	case verb == "EHLO" && *isTLS:
		s.hellos = append(s.hellos, rest)
		return "250-mail.example.com\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH LOGIN PLAIN"
	case verb == "EHLO":
		return "250-mail.example.com\r\n250 STARTTLS"
	case verb == "STARTTLS" && !*isTLS:
		return "220 go"
	case verb == "AUTH" && *isTLS && rest == "PLAIN "+plain:
		*user = true
		return "235 2.7.0 ok"
	case verb == "AUTH":
		return "535 5.7.8 no such user at 192.0.2.7"
	case verb == "MAIL" && !*user:
		return "530 5.7.0 authentication required"
	case verb == "MAIL" && !strings.HasPrefix(rest, "FROM:<shop@example.com>"):
		return "553 5.7.1 not yours"
	case verb == "RCPT" && !strings.HasPrefix(rest, "TO:<staff@example.com>"):
		return "550 5.1.1 no such mailbox"
	case verb == "DATA":
		return "354 go"
	case verb == "QUIT":
		return "221 bye"
	}
	return "250 ok"
}

// take is the reply to a mail; "" to hang up.
func (s *mailServer) take(r *bufio.Reader) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return ""
		case line == ".\r\n":
			s.mails = append(s.mails, text.String())
			return "250 2.0.0 taken"
		case len(line) > 1000 || !strings.HasSuffix(line, "\r\n"):
			return "554 5.6.0 not a mail"
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
}

// instead replaces the next reply to a verb.
func (s *mailServer) instead(verb, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replyTo[verb] = reply
}

func (s *mailServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails)
}

// letter is the last mail, parsed.
func (s *mailServer) letter(t *testing.T) (mail.Header, string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := mail.ReadMessage(strings.NewReader(s.mails[len(s.mails)-1]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil || m.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
		t.Errorf("body %q (%v)", body, err)
	}
	return m.Header, strings.ReplaceAll(string(body), "\r\n", "\n")
}

// office is a delivery "office" to a mail server, in real time.
func office(t *testing.T, to *mailServer, roots *x509.CertPool, change func(*deliver.Settings)) *scene {
	t.Helper()
	s := &scene{t: t, log: newLog()}
	s.tail = replay.NewTail(s.log, replay.TailOptions{})
	var err error
	s.Sender, err = deliver.New(s.log, s.tail, deliver.Options{Guard: outbound.New(outbound.Options{Allow: loopback}),
		Key: seal.NewFile(filepath.Join(t.TempDir(), "secrets.key")), RootCAs: roots, Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.close()
		s.log.Close()
	})
	set := settings("orders.>")
	set.URL, set.Secret, set.Recipient = to.url(), "pass word", deliver.Recipient{Kind: deliver.Mail, User: "shop",
		Sender: `"Läden, kleine" <shop@example.com>`, To: "staff@example.com", Language: "zh", Detail: deliver.Fields}
	if change != nil {
		change(&set)
	}
	s.put("office", set)
	return s
}

// until waits until the delivery's status is as wanted.
func (s *scene) until(name string, wanted func(deliver.Status) bool) deliver.Status {
	s.t.Helper()
	for end := time.Now().Add(e2e.Patience); time.Now().Before(end); {
		if status := s.get(name); wanted(status) {
			return status
		}
	}
	s.t.Fatalf("%s is %+v", name, s.get(name))
	return deliver.Status{}
}

// TestMail: a mail over both kinds of TLS; none of its headers is a publisher's.
func TestMail(t *testing.T) {
	for _, implicit := range []bool{true, false} {
		server, roots := newMailServer(t, implicit)
		s := office(t, server, roots, nil)
		ids, err := store.Append(t.Context(), s.log, []store.Draft{{Topic: "orders.eu", Type: "order.created",
			ContentType: "application/json", Data: []byte(`{"subject":"x\r\nBcc: all@example.com\r\n\r\n.\r\n` +
				strings.Repeat("订", 90) + `"}`)}})
		if err != nil {
			t.Fatal(err)
		}
		s.until("office", func(d deliver.Status) bool { return d.At == ids[0] })
		header, body := server.letter(t)
		subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
		from, err2 := header.AddressList("From")
		if err != nil || err2 != nil || subject != "orders.eu：1 个新订单" || from[0].Name != "Läden, kleine" ||
			from[0].Address != "shop@example.com" || header.Get("To") != "<staff@example.com>" ||
			header.Get("Bcc") != "" || header.Get("Auto-Submitted") != "auto-generated" ||
			header.Get("Message-Id") != "<"+ids[0].String()+".office@example.com>" {
			t.Errorf("the header is %v (%v, %v)", header, err, err2)
		}
		if !strings.HasPrefix(body, "orders.eu：1 个新订单\n") ||
			!strings.Contains(body, "\n主题：x  Bcc: all@example.com    .  订订") {
			t.Errorf("the body is %q", body)
		}
		if !slices.Equal(server.hellos, []string{"example.com"}) || server.count() != 1 {
			t.Errorf("it said hello as %q, and sent %d mails", server.hellos, server.count())
		}
	}
}

// TestMailFails: a reply is reported by its code; a temporary failure is retried soon, others are not; a mail that was
// accepted is not sent again, whatever comes after it.
func TestMailFails(t *testing.T) {
	server, roots := newMailServer(t, false)
	for _, x := range []struct {
		what   string
		change func(*deliver.Settings)
		verb   string
		reply  string
		says   string
		soon   bool
	}{
		{"another password", func(s *deliver.Settings) { s.Secret = "wrong" }, "", "", "535: check the user", false},
		{"no password", func(s *deliver.Settings) { s.Secret, s.User = "", "" }, "", "", "530: check the user",
			false},
		{"another sender", func(s *deliver.Settings) { s.Sender = "a@example.com" }, "", "",
			"553: it rejects this sender", false},
		{"no such mailbox", func(s *deliver.Settings) { s.To = "staff@example.com, all@example.com" }, "", "",
			"550: it rejects this sender", false},
		{"a stranger", func(s *deliver.Settings) { s.URL = "smtps" + strings.TrimPrefix(s.URL, "smtp") }, "", "",
			"tls: first record does not look like a TLS handshake", true},
		{"too many", nil, "MAIL", "450 4.7.1 slow down, 192.0.2.7", "450: not now", true},
		{"not now", nil, "DATA", "421 4.3.2 closing", "421: not now", true},
		{"no TLS", nil, "EHLO", "250 mail.example.com", "STARTTLS", true},
		{"after it", nil, "RSET", "421 4.3.2 closing", "", true},
	} {
		t.Run(x.what, func(t *testing.T) {
			s := office(t, server, roots, x.change)
			before := server.count()
			server.instead(x.verb, x.reply)
			s.publish(1, "orders.eu")
			status := s.until("office", func(d deliver.Status) bool { return d.Due != "" || !d.Sent.IsZero() })
			if x.says == "" {
				if status.Due != "" || server.count() != before+1 {
					t.Errorf("failed with %q, %d mails", status.Failure, server.count()-before)
				}
				return
			}
			if soon := time.Until(status.Next) < time.Minute; !strings.Contains(status.Failure, x.says) ||
				soon != x.soon || strings.Contains(status.Failure, "192.0.2.7") || server.count() != before {
				t.Errorf("failed with %q, again in %v", status.Failure, time.Until(status.Next))
			}
		})
	}
	t.Run("an authority that nobody knows", func(t *testing.T) {
		s := office(t, server, nil, nil)
		s.publish(1, "orders.eu")
		status := s.until("office", func(d deliver.Status) bool { return d.Due != "" })
		if !strings.Contains(status.Failure, "certificate") {
			t.Errorf("failed with %q", status.Failure)
		}
	})
}
