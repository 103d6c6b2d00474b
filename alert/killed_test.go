package alert_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tidings/alert"
	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

// killed is a process that escalates, a board with a sender, and dies at an edge in each of its first lives.
type killed struct {
	*edges
	t      *testing.T
	log    *mortalLog
	client *mortalClient
	key    *seal.File
	tail   *replay.Tail
	board  *alert.Board
	sender *deliver.Sender

	lives   int                    // how many end
	at      edge                   // at this one
	alerts  map[store.ID]time.Time // when each was published
	claimed store.ID               // of those
	acked   time.Time              // when its claim was acknowledged; zero: it was not
}

// variant is an order of the delivery, and how many lives end.
type variant struct {
	order deliver.Order
	lives int
}

var killedDelays = []time.Duration{0, 4 * time.Second, 8 * time.Second}

// TestKilledAtEachEdge: a process dies at each call to the log and to the receiver, before its effect or after it,
// once, or in each of three lives. No step is lost, each is stored once, in order and at its time, what is sent again
// has the same ID, and nothing follows an acknowledged claim.
func TestKilledAtEachEdge(t *testing.T) {
	names := []string{
		"start",
		"append of alert.step, before",
		"append of alert.step, after",      // it is committed, and the board has not seen it
		"board has read alert.step",        // the delivery has not been woken
		"delivery has read alert.step",     // it is not sent
		"request of a step, before",        // the same
		"request of a step, after",         // it is sent, and there is no response
		"progress of the delivery, before", // there is, and it is not recorded
		"progress of the delivery, after",
		"progress of the board, before",
		"progress of the board, after",
		"append of alert.claimed, before",
		"append of alert.claimed, after",
	}
	variants := []variant{{deliver.Strict, 1}, {deliver.Strict, 3}, {deliver.Parallel, 1}}
	if testing.Short() {
		variants = variants[:1]
	}
	deaths := make(map[string]int)
	for i := 0; i < len(names); i++ {
		for _, x := range variants {
			for at, died := (edge{names[i], 1}), true; died; at.nth++ {
				synctest.Test(t, func(t *testing.T) {
					k := newKilled(t, x.order, x.lives, at)
					k.run()
					k.check()
					for name := range k.crossed {
						if !slices.Contains(names, name) {
							names = append(names, name)
						}
					}
					deaths[at.name] += k.deaths
					if died = k.deaths > 0; t.Failed() {
						t.Fatalf("%s, %d lives end at %+v", x.order, x.lives, at)
					}
				})
			}
		}
		if deaths[names[i]] == 0 {
			t.Errorf("nothing ever comes to %q", names[i])
		}
	}
	t.Logf("deaths: %v", deaths)
}

func newKilled(t *testing.T, order deliver.Order, lives int, at edge) *killed {
	e := &edges{crossed: make(map[string]int)}
	k := &killed{edges: e, t: t, key: seal.NewFile(filepath.Join(t.TempDir(), "secrets.key")), lives: lives, at: at,
		log:    &mortalLog{storetest.NewModel(storetest.Options{Now: time.Now}), e},
		client: &mortalClient{edges: e, told: make(map[string][]told)}, alerts: make(map[store.ID]time.Time)}
	if !k.open() {
		t.Fatal("it does not start")
	}
	topics, err := store.NewFilter("$alerts.>")
	if err != nil {
		t.Fatal(err)
	}
	chat := deliver.Settings{URL: "https://shop.example.com/hooks", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		Topics: topics, Order: order}
	if _, _, err = k.sender.Put(t.Context(), "chat", chat); err != nil {
		t.Fatal(err)
	}
	rule := alert.Rule{Topics: []string{"orders.>"}}
	for _, d := range killedDelays {
		rule.Steps = append(rule.Steps, alert.Step{After: d, Delivery: "chat"})
	}
	if _, _, err = k.board.Put(t.Context(), "orders", rule, "admin", nil); err != nil {
		t.Fatal(err)
	}
	return k
}

// open begins a life, and reports whether it survives the start.
func (k *killed) open() bool {
	k.tail = replay.NewTail(k.log, replay.TailOptions{})
	var err error
	if k.board, err = alert.New(k.log, k.tail, alert.Options{}); err == nil {
		k.sender, err = deliver.New(k.log, k.tail, deliver.Options{Guard: outbound.New(outbound.Options{}), Key: k.key,
			Client: &http.Client{Transport: k.client}, Version: "1", Wants: k.board.Wants})
	}
	if err != nil {
		k.close()
		return false
	}
	return true
}

func (k *killed) close() {
	k.sender.Close()
	k.board.Close()
	k.tail.Close()
	k.sender, k.board = nil, nil
}

// restart buries what was, and begins the next life.
func (k *killed) restart() {
	k.close()
	for alive := false; !alive; alive = k.open() {
		at := edge{}
		if k.deaths < k.lives {
			at = k.at
		}
		k.revive(at)
	}
}

// run publishes three alerts. Somebody claims the second one when its second step is due, and tries again until that
// is acknowledged.
func (k *killed) run() {
	k.restart()
	for tick := range 60 {
		if tick%4 == 0 && tick < 12 {
			k.publish()
		}
		due := k.alerts[k.claimed].Add(killedDelays[1])
		if len(k.alerts) > 1 && k.acked.IsZero() && !time.Now().Before(due) {
			answer := alert.Answer{By: alert.Holder{Name: "Ana"}}
			if _, _, err := k.board.Claim(k.t.Context(), k.claimed, answer); err == nil {
				k.acked = time.Now()
			}
		}
		time.Sleep(time.Second / 4)
		if k.dead() {
			k.restart()
		}
	}
	k.close()
}

func (k *killed) publish() {
	ids, err := store.Append(k.t.Context(), k.log.Log, []store.Draft{{Topic: "orders.eu", Type: "order.created"}})
	if err != nil {
		k.t.Fatal(err)
	}
	if k.alerts[ids[0]] = time.Now(); len(k.alerts) == 2 {
		k.claimed = ids[0]
	}
}

// check compares the log and what the receiver was told with what must be there.
func (k *killed) check() {
	filter, err := store.NewFilter("$alerts.>")
	if err != nil {
		k.t.Fatal(err)
	}
	page, err := k.log.Log.NewReader(filter, store.ID{}).Next(1000)
	if err != nil {
		k.t.Fatal(err)
	}
	steps, claims := make(map[store.ID]int), 0
	for i := range page.Events {
		e := &page.Events[i]
		about, requests := k.about(e), k.client.told[e.ID.String()]
		delete(k.client.told, e.ID.String())
		for _, r := range requests {
			if r.body != requests[0].body {
				k.t.Errorf("%s was sent as %s and as %s", e.ID, requests[0].body, r.body)
			}
		}
		switch {
		case e.Type == alert.TypeClaimed:
			claims++
			continue
		case claims > 0 && about == k.claimed:
			k.t.Errorf("step %d was stored after the claim", steps[about]+1)
		case len(requests) == 0 && about != k.claimed:
			k.t.Errorf("step %d of %s did not reach the receiver", steps[about]+1, about)
		}
		k.checkStep(e, about, steps[about])
		steps[about]++
		for _, r := range requests {
			if about == k.claimed && !k.acked.IsZero() && r.at.After(k.acked) {
				k.t.Errorf("step %d was sent %v after the claim was acknowledged", steps[about], r.at.Sub(k.acked))
			}
		}
	}
	for id := range k.alerts {
		if steps[id] != len(killedDelays) && id != k.claimed {
			k.t.Errorf("%d steps of %s were stored", steps[id], id)
		}
	}
	if claims != 1 || k.acked.IsZero() || len(k.client.told) > 0 {
		k.t.Errorf("%d claims, acknowledged at %v; sent, and not in the log: %v", claims, k.acked, k.client.told)
	}
}

// about returns the alert that an event of the topic of answers is about.
func (k *killed) about(e *store.Event) store.ID {
	for id := range k.alerts {
		if len(e.Attributes) == 1 && e.Attributes[0].Value == `"`+id.String()+`"` {
			return id
		}
	}
	k.t.Fatalf("an event about nothing: %+v", e)
	return store.ID{}
}

// checkStep compares a step with what follows those that were stored before. A restart takes a quarter of a second,
// and the board looks once a second.
func (k *killed) checkStep(e *store.Event, about store.ID, stored int) {
	var said struct{ Step int }
	if err := json.Unmarshal(e.Data, &said); err != nil || e.Type != alert.TypeStep || said.Step != stored+1 {
		k.t.Fatalf("%s %s follows step %d of %s", e.Type, e.Data, stored, about)
	}
	late := e.Time().Sub(k.alerts[about].Add(killedDelays[stored]))
	if late < -time.Millisecond || late > 3*time.Second {
		k.t.Errorf("step %d of %s is %v late", said.Step, about, late)
	}
}
