package deliver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"tidings/internal/outbound"
)

// smtp is mailboxes, by a mail server (RFC 5321), always under TLS: from the first byte (smtps) or by STARTTLS (smtp).
type smtp struct{}

const maxMailboxes = 20

func (smtp) traits() *traits {
	return &traits{takes: append([]string{"secret", "to", "sender", "user"}, texts...), bearer: true,
		key: checkPassword, pace: 10 * time.Second, check: checkMailboxes, parse: (*outbound.Guard).CheckMailURL}
}

func checkPassword(text string) error {
	if len(text) > maxKey || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return &InvalidError{"secret", fmt.Sprintf("expected at most %d bytes in one line", maxKey)}
	}
	return nil
}

// checkMailboxes checks what becomes headers and commands.
func checkMailboxes(p *Recipient) error {
	_, err := mailboxes(p.Sender, 1)
	if err != nil {
		return &InvalidError{"sender", `expected an address such as "Shop <shop@example.com>"`}
	}
	if _, err = mailboxes(p.To, maxMailboxes); err != nil {
		return &InvalidError{"to", fmt.Sprintf("expected 1 to %d addresses, separated by commas", maxMailboxes)}
	}
	if checkPassword(p.User) != nil {
		return &InvalidError{"user", fmt.Sprintf("expected at most %d bytes in one line", maxKey)}
	}
	return nil
}

// mailboxes parses at most max addresses, in one line.
func mailboxes(text string, max int) ([]*mail.Address, error) {
	if len(text) > maxMailboxes*320 || strings.ContainsFunc(text, unicode.IsControl) {
		return nil, errors.New("too long, or more than one line")
	}
	list, err := mail.ParseAddressList(text)
	if err == nil && len(list) > max {
		err = errors.New("too many")
	}
	return list, err
}

func (smtp) send(ctx context.Context, s *Sender, name string, to *target, m *message) answer {
	u, err := s.o.Guard.CheckMailURL(to.URL)
	if err != nil {
		return answer{failure: failureOf(err), config: true}
	}
	letter, err := newLetter(s, name, to, m)
	if err != nil {
		return answer{failure: "cannot build the mail: check the addresses", config: true}
	}
	client, err := s.mailClient(ctx, u, to)
	if err != nil {
		return answer{failure: "invalid mail server address", config: true}
	}
	err = client.DialAndSendWithContext(ctx, letter)
	if err == nil || letter.IsDelivered() { // a failure after it was accepted must not repeat it
		return answer{status: 250}
	}
	return judgeMail(err)
}

// newLetter makes a mail. Its Message-ID is the same at each attempt, until it covers more events.
func newLetter(s *Sender, name string, to *target, m *message) (*gomail.Msg, error) {
	n := newNote(&to.recipient, s.o.Console, name, m)
	from, err := mailboxes(to.recipient.Sender, 1)
	if err != nil {
		return nil, err
	}
	list, err := mailboxes(to.recipient.To, maxMailboxes)
	if err != nil {
		return nil, err
	}
	id := m.id
	if last := m.through(); !last.IsZero() {
		id += "-" + last.String()
	}
	letter := gomail.NewMsg()
	letter.FromMailAddress(from[0])
	letter.ToMailAddress(list...)
	letter.Subject(n.title)
	letter.SetDate()
	letter.SetMessageIDWithValue(id + "." + url.PathEscape(name) + "@" + domainOf(from[0]))
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nothing should answer
	letter.SetUserAgent(s.agent())
	letter.SetBodyString(gomail.TypeTextPlain, n.cut(16<<10)+"\n")
	return letter, nil
}

func domainOf(a *mail.Address) string { return a.Address[strings.LastIndexByte(a.Address, '@')+1:] }

// mailClient returns a client that dials by the guard, and that ctx cuts off.
func (s *Sender) mailClient(ctx context.Context, u *url.URL, to *target) (*gomail.Client, error) {
	from, err := mailboxes(to.recipient.Sender, 1)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{ServerName: u.Hostname(), RootCAs: s.o.RootCAs, MinVersion: tls.VersionTLS12}
	policy := gomail.TLSMandatory
	if u.Scheme == "smtps" {
		policy = gomail.NoTLS // never a second TLS layer
	}
	options := []gomail.Option{gomail.WithPort(int(outbound.Port(u))), gomail.WithTimeout(attemptTimeout),
		gomail.WithTLSConfig(secure), gomail.WithTLSPolicy(policy), gomail.WithHELO(domainOf(from[0])),
		gomail.WithoutNoop(),
		gomail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := s.o.Guard.Dial(dialing, network, address)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			if u.Scheme == "smtp" {
				return conn, nil
			}
			under := tls.Client(conn, secure)
			return under, under.HandshakeContext(dialing)
		})}
	if to.Secret != "" {
		options = append(options, gomail.WithUsername(cmp.Or(to.recipient.User, from[0].Address)),
			gomail.WithPassword(to.Secret), gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256,
				gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	return gomail.NewClient(u.Hostname(), options...)
}

// judgeMail derives the failure from the code of a reply (RFC 5321 §4.2.1), not from its words.
func judgeMail(err error) answer {
	var refused *outbound.Refused
	var reply *textproto.Error
	var failed *gomail.SendError
	a := answer{}
	switch {
	case errors.As(err, &refused):
		return answer{failure: failureOf(refused), config: true}
	case errors.As(err, &failed):
		a.status = failed.ErrorCode()
	case errors.As(err, &reply):
		a.status = reply.Code
	}
	switch a.status {
	case 0:
		return answer{failure: failureOf(err)}
	case 421, 450, 451, 452:
		a.failure = "not now"
	case 530, 534, 535, 538:
		a.failure = "check the user and the secret"
	case 552:
		a.failure = "the mailbox is full, or the mail is too large"
	case 550, 551, 553, 554:
		a.failure = "it rejects this sender or one of the addresses"
	default:
		a.failure = "it rejects the mail"
	}
	a.failure = fmt.Sprintf("the mail server answered %d: %s", a.status, a.failure)
	a.config = a.status >= 500
	return a
}
