package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tidings/store"
)

// syncedBySystem is SyncedBy for the servers that keep the stream, which it asks through the system account.
func (s *Sequencer) syncedBySystem(ctx context.Context, c *jetstream.ClusterInfo) error {
	unknown := func(err error) error {
		return fmt.Errorf("%w: cannot ask the NATS servers with --nats-system-creds: %w", store.ErrUnavailable, err)
	}
	if c == nil || c.Leader == "" {
		return unknown(errors.New("the stream does not name those that keep it"))
	}
	keepers := []string{c.Leader}
	for _, peer := range c.Replicas {
		keepers = append(keepers, peer.Name)
	}
	// Short, because it is used once a minute: nothing has to keep it up.
	nc, err := s.dial(ctx, append(s.access(s.o.SystemCreds), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))) // LastError has them
	if err != nil {
		return unknown(err)
	}
	defer nc.Close()
	answers, err := varz(ctx, nc, c.Name, keepers)
	if err != nil {
		return unknown(err)
	}
	return most(keepers, func(name string) error {
		if answers[name] == nil {
			return unknown(fmt.Errorf("%s does not answer", name))
		}
		return syncs(answers[name])
	})
}

// varz returns the VARZ of these servers in a cluster, by name, once all have answered or two seconds have passed.
func varz(ctx context.Context, nc *nats.Conn, cluster string, names []string) (map[string]json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	which, err := json.Marshal(map[string]any{"cluster": cluster, "exact_match": true})
	if err != nil {
		return nil, err
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err == nil {
		err = nc.PublishRequest("$SYS.REQ.SERVER.PING.VARZ", inbox, which)
	}
	if err == nil {
		err = nc.FlushWithContext(ctx) // whether it may ask is known then
	}
	if last := nc.LastError(); err == nil && errors.Is(last, nats.ErrPermissionViolation) {
		err = last
	}
	answers := make(map[string]json.RawMessage)
	for err == nil && len(answers) < len(names) {
		var m *nats.Msg
		var answer struct {
			Server struct{ Name string }
			Data   json.RawMessage // none with an error
		}
		if m, err = sub.NextMsgWithContext(ctx); err == nil && json.Unmarshal(m.Data, &answer) == nil &&
			slices.Contains(names, answer.Server.Name) { // not another one of the cluster
			answers[answer.Server.Name] = answer.Data
		}
	}
	switch {
	case len(answers) > 0: // those that are missing count as down
		return answers, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, errors.New("they are not credentials of a user in the system account")
	}
	return nil, err
}
