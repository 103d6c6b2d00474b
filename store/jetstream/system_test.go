package jetstream_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
	"tidings/store"
	"tidings/store/jetstream"
)

// issuer signs the JWTs of NATS operator mode: of an operator, or of an account.
type issuer struct {
	t    *testing.T
	keys nkeys.KeyPair
}

func newIssuer(t *testing.T, kind nkeys.PrefixByte) issuer {
	t.Helper()
	keys, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{t, keys}
}

func (i issuer) public() string {
	i.t.Helper()
	key, err := i.keys.PublicKey()
	if err != nil {
		i.t.Fatal(err)
	}
	return key
}

// signs returns a JWT about whoever has the public key.
func (i issuer) signs(key string, claims map[string]any) string {
	i.t.Helper()
	claims["version"] = 2
	body, err := json.Marshal(map[string]any{"iss": i.public(), "sub": key, "iat": 1, "jti": key, "nats": claims})
	if err != nil {
		i.t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(body)
	signature, err := i.keys.Sign([]byte(text))
	if err != nil {
		i.t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// creds returns a file of credentials of a new user in the account that this is, who may publish there; "": anywhere.
func (i issuer) creds(publish string) string {
	i.t.Helper()
	user := newIssuer(i.t, nkeys.PrefixByteUser)
	seed, err := user.keys.Seed()
	if err != nil {
		i.t.Fatal(err)
	}
	claims := map[string]any{"type": "user", "subs": -1, "data": -1, "payload": -1}
	if publish != "" {
		claims["pub"] = map[string]any{"allow": []string{publish}}
		claims["sub"] = map[string]any{"allow": []string{"_INBOX.>"}}
	}
	path := filepath.Join(i.t.TempDir(), "creds")
	text := fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"+
		"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", i.signs(user.public(), claims), seed)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		i.t.Fatal(err)
	}
	return path
}

// operated returns the settings of servers in operator mode, with the system account and one for logs.
func operated(t *testing.T) (settings string, system, logs issuer) {
	t.Helper()
	operator := newIssuer(t, nkeys.PrefixByteOperator)
	system, logs = newIssuer(t, nkeys.PrefixByteAccount), newIssuer(t, nkeys.PrefixByteAccount)
	account := func(disk int) map[string]any {
		return map[string]any{"type": "account", "limits": map[string]any{"subs": -1, "data": -1, "payload": -1,
			"imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1, "disk_storage": disk,
			"streams": disk, "consumer": disk}}
	}
	settings = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n",
		operator.signs(operator.public(), map[string]any{"type": "operator"}), system.public(),
		system.public(), operator.signs(system.public(), account(0)),
		logs.public(), operator.signs(logs.public(), account(-1)))
	return settings, system, logs
}

// TestSyncedBySystem: servers prove through the system account that they sync, and one that does not is named. Who
// asks needs no permissions but those of docs/CLUSTER.md.
func TestSyncedBySystem(t *testing.T) {
	t.Parallel()
	settings, system, logs := operated(t)
	c := natstest.Start(t, 3, settings)
	c.Await()
	o := jetstream.Options{URLs: c.URLs(), Stream: "LOG", Creds: logs.creds(""), Logger: logger(t),
		SystemCreds: system.creds("$SYS.REQ.SERVER.PING.VARZ")}
	connectTo(t, o).Close()
	for creds, why := range map[string]string{
		filepath.Join(t.TempDir(), "missing"):           "no such file",
		newIssuer(t, nkeys.PrefixByteAccount).creds(""): "Authorization Violation",
		logs.creds(""):         "not credentials of a user in the system account",
		system.creds("orders"): `Permissions Violation for Publish to "$SYS.REQ.SERVER.PING.VARZ"`,
	} {
		o := o
		o.SystemCreds = creds
		if err := attempt(t, o); !errors.Is(err, store.ErrUnavailable) ||
			!strings.Contains(err.Error(), "with --nats-system-creds: ") || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %s", err, why)
		}
	}

	leader := -1 // it answers for seconds after the others have stopped
	e2e.Eventually(t, "leader of the stream", func() bool {
		leader = c.Leader("LOG")
		return leader >= 0
	})
	lazy, other := (leader+1)%3, (leader+2)%3
	o.URLs = c.URLs()[leader : leader+1]
	c.Configure(lazy, settings+fmt.Sprintf("jetstream { store_dir: %q }\n", c.Dir(lazy)))
	want := fmt.Sprintf("the server nats%d: it acknowledges before it syncs", lazy+1)
	c.Eventually("LOG", want, func() bool { // it counts as down until it answers
		err := attempt(t, o)
		return err != nil && !errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), want)
	})

	if os.Getenv("TIDINGS_FULL") == "" {
		return // the rest waits for those that do not answer
	}
	c.Kill(lazy)
	connectTo(t, o).Close()
	c.Kill(other)
	want = fmt.Sprintf("nats%d does not answer", other+1)
	if err := attempt(t, o); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want) {
		t.Errorf("two of three are down: %v, want %s", err, want)
	}
}

// attempt returns the error of one attempt to connect.
func attempt(t *testing.T, o jetstream.Options) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	seq, err := jetstream.Connect(ctx, o)
	if err == nil {
		seq.Close()
	}
	return err
}
