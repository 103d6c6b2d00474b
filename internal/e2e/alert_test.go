package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tidings/internal/e2e"
)

// alertOp is what a clerk asks of an alert.
type alertOp struct {
	verb, by string
}

type alertResult struct {
	status int    // 0: nobody knows
	holder string // as reported
}

// alertModel is an alert that at most one clerk has. Its state is who that is: "" for nobody, "!" when it is done. A
// request to a server that died was carried out or not.
var alertModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		holder, op, result := state.(string), input.(alertOp), output.(alertResult)
		after, possible := op.apply(holder, result)
		switch {
		case result.status == 0 && possible:
			return []any{holder, after}
		case result.status == 0:
			return []any{holder}
		case possible:
			return []any{after}
		}
		return nil
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v -> %+v", input, output)
	},
}).ToModel()

// apply returns who has the alert afterwards, and whether this response is possible if the holder had it before.
func (op alertOp) apply(holder string, result alertResult) (after string, possible bool) {
	if result.status == 0 {
		result.status = map[string]int{"claim": 201, "release": 200, "done": 200}[op.verb]
	}
	switch {
	case op.verb == "claim" && result.status == 201:
		return op.by, holder == ""
	case op.verb == "claim" && result.status == 200:
		return holder, holder == op.by
	case op.verb == "claim" && result.status == 409 && result.holder == "":
		return holder, holder == "!"
	case op.verb == "claim" && result.status == 409:
		return holder, holder == result.holder
	case op.verb == "release" && result.status == 200:
		return "", holder == op.by
	case op.verb == "done" && result.status == 200:
		return "!", holder == op.by
	case result.status == 409, result.status == 404: // 404 once alert.MaxDone others are done after it
		return holder, holder == "!"
	case result.status == 412:
		return holder, holder != op.by
	}
	return holder, false
}

// TestClaimsUnderKill: clerks claim, release and end the same alerts while the server is killed again and again. The
// history of each alert is that of an alert that at most one clerk has, and the log agrees.
func TestClaimsUnderKill(t *testing.T) {
	alerts, clerks, rounds, perRound := 100, 24, 6, 300
	if full() {
		alerts, clerks, rounds, perRound = 10_000, 64, 50, 2000
	}
	d := newDesk(t)
	server := d.start(t)
	d.put(t, server.URL(), "/v1/alerts/all", `{"topics":["desk"],"unheard_after_seconds":0}`)
	for range alerts {
		id, _, err := e2e.Publish(d.ctx, d.client, server.URL(), "desk", []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		d.ids = append(d.ids, id.String())
	}
	for range rounds {
		d.round(t, server, clerks, int64(perRound))
		server = d.start(t)
	}
	histories := make(map[string][]porcupine.Operation)
	end := int64(time.Since(d.began))
	answers := make(map[int]int)
	for i := range d.history {
		op := &d.history[i].Operation
		if op.Return == 0 {
			op.Return = end
		}
		answers[op.Output.(alertResult).status]++
		histories[d.history[i].id] = append(histories[d.history[i].id], *op)
	}
	for id, history := range histories {
		if result := porcupine.CheckOperationsTimeout(alertModel, history, time.Minute); result != porcupine.Ok {
			t.Errorf("the history of %s is %s: %+v", id, result, history)
		}
	}
	if answers[201] == 0 || answers[409] == 0 {
		t.Errorf("nobody got an alert, or everybody did: %v", answers)
	}
	d.checkLog(t, server.URL())
	t.Logf("%d kills, answers by status: %v", rounds, answers)
}

// desk is where alerts are answered.
type desk struct {
	ctx     context.Context
	client  *http.Client
	options e2e.Options
	began   time.Time
	ids     []string

	mu      sync.Mutex
	history []deskOp
	handles map[string]string // acknowledged claims: handle to alert
}

type deskOp struct {
	id string
	porcupine.Operation
}

func newDesk(t *testing.T) *desk {
	d := &desk{began: time.Now(), handles: make(map[string]string), options: e2e.Options{Binary: binary,
		DataDir: t.TempDir(), Args: []string{"--deliver-http", "--deliver-to", "127.0.0.1/32"}}}
	d.ctx, d.client = newClient(t)
	return d
}

func (d *desk) start(t *testing.T) *e2e.Server {
	t.Helper()
	return e2e.Start(t, d.options)
}

func (d *desk) do(method, url, body, ifMatch string) (status int, answer []byte) {
	req, err := http.NewRequestWithContext(d.ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", `"`+ifMatch+`"`)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 500 {
		return 0, nil
	}
	return resp.StatusCode, answer
}

func (d *desk) put(t *testing.T, url, path, body string) {
	t.Helper()
	if status, answer := d.do(http.MethodPut, url+path, body, ""); status != http.StatusCreated {
		t.Fatalf("%s: %d %s", path, status, answer)
	}
}

// round is the life of one server.
func (d *desk) round(t *testing.T, server *e2e.Server, clerks int, count int64) {
	var left atomic.Int64
	left.Store(count)
	reached := make(chan struct{})
	var all sync.WaitGroup
	n := seed(t)
	for clerk := range clerks {
		all.Go(func() {
			random := rand.New(rand.NewPCG(n, uint64(clerk)))
			for d.turn(server.URL(), clerk, random) {
				if left.Add(-1) == 0 {
					close(reached)
				}
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(e2e.Patience):
		t.Error("answering hangs")
	}
	server.Kill()
	all.Wait()
	d.client.CloseIdleConnections()
}

// turn is what one clerk does with one alert: claim it, and then perhaps release or end it. It reports whether the
// server still answers.
func (d *desk) turn(url string, clerk int, random *rand.Rand) bool {
	id := d.ids[random.IntN(min(len(d.ids), 40+random.IntN(len(d.ids))))]
	by := fmt.Sprint("clerk-", clerk)
	status, handle := d.ask(url, id, alertOp{"claim", by}, clerk, "")
	if status == http.StatusCreated || status == http.StatusOK {
		switch random.IntN(4) {
		case 0:
			status, _ = d.ask(url, id, alertOp{"done", by}, clerk, handle)
		case 1, 2:
			status, _ = d.ask(url, id, alertOp{"release", by}, clerk, handle)
		}
	}
	return status != 0
}

func (d *desk) ask(url, id string, op alertOp, clerk int, handle string) (status int, newHandle string) {
	call := int64(time.Since(d.began))
	status, body := d.do(http.MethodPost, url+"/v1/events/"+id+"/"+op.verb, `{"name":"`+op.by+`"}`, handle)
	returned := int64(time.Since(d.began))
	var answer struct {
		Handle string
		Holder *struct{ Name string }
	}
	if status != 0 && json.Unmarshal(body, &answer) != nil {
		status = 0
	}
	result := alertResult{status: status}
	if answer.Holder != nil && status == http.StatusConflict {
		result.holder = answer.Holder.Name
	}
	if status == 0 {
		returned = 0 // it may happen up to the end
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if status == http.StatusCreated {
		d.handles[answer.Handle] = id
	}
	d.history = append(d.history, deskOp{id, porcupine.Operation{ClientId: clerk, Input: op, Call: call, Output: result,
		Return: returned}})
	return status, answer.Handle
}

// said is an event of an answer topic.
type said struct {
	ID, Type string
	CE       struct{ Subject string }
	Data     struct {
		By   struct{ Name string }
		Step int
	}
}

// answers returns the answers to alerts of a topic.
func (d *desk) answers(t *testing.T, url, topic string) (all []said) {
	t.Helper()
	after := ""
	for {
		path := url + "/v1/topics/$alerts." + topic + "/events?limit=1000&since=earliest"
		if after != "" {
			path = url + "/v1/topics/$alerts." + topic + "/events?limit=1000&after=" + after
		}
		status, body := d.do(http.MethodGet, path, "", "")
		var page struct{ Events []said }
		if err := json.Unmarshal(body, &page); status != http.StatusOK || err != nil {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		if len(page.Events) == 0 {
			return all
		}
		all = append(all, page.Events...)
		after = page.Events[len(page.Events)-1].ID
	}
}

// checkLog reads the answers: an alert is claimed only while nobody has it, and every acknowledged claim is in the log.
func (d *desk) checkLog(t *testing.T, url string) {
	t.Helper()
	holder, claims := make(map[string]string), make(map[string]string)
	for _, e := range d.answers(t, url, "desk") {
		switch e.Type {
		case "alert.claimed":
			if other := holder[e.CE.Subject]; other != "" {
				t.Errorf("%s claims %s, which %s has", e.Data.By.Name, e.CE.Subject, other)
			}
			holder[e.CE.Subject], claims[e.ID] = e.Data.By.Name, e.CE.Subject
		case "alert.released":
			holder[e.CE.Subject] = ""
		case "alert.done":
			holder[e.CE.Subject] = "!"
		}
	}
	for handle, id := range d.handles {
		if claims[handle] != id {
			t.Errorf("the claim %s of %s was acknowledged, and is not in the log", handle, id)
		}
	}
}

// TestStepsUnderKill: the server is killed again and again while alerts are opened, escalated and claimed. In the log
// each unclaimed alert has all its steps, once and in order; after a claim there is none; and the receiver got each
// step of an unclaimed alert.
func TestStepsUnderKill(t *testing.T) {
	rounds := 30
	if full() {
		rounds = 1000
	}
	n := seed(t)
	r, random := newHooks(t, "parallel", n), rand.New(rand.NewPCG(n, 0))
	r.calm()
	d := newDesk(t)
	server := d.start(t)
	d.put(t, server.URL(), "/v1/deliveries/duty",
		fmt.Sprintf(`{"url":%q,"topics":["$alerts.desk"],"secret":%q}`, r.url, hookSecret))
	d.put(t, server.URL(), "/v1/alerts/all", `{"topics":["desk"],"unheard_after_seconds":0,"steps":[`+
		`{"after_seconds":0,"delivery":"duty"},`+
		`{"after_seconds":0.2,"delivery":"duty"},{"after_seconds":0.4,"delivery":"duty"}]}`)
	claimed := make(map[string]bool)
	for range rounds {
		for i := range 6 {
			id, _, err := e2e.Publish(d.ctx, d.client, server.URL(), "desk", []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			d.ids = append(d.ids, id.String())
			if i == 0 {
				<-time.After(time.Duration(random.Int64N(int64(600 * time.Millisecond)))) // any moment will do
				old := d.ids[random.IntN(len(d.ids))]
				status, _ := d.ask(server.URL(), old, alertOp{"claim", "Ana"}, 0, "")
				claimed[old] = claimed[old] || status == http.StatusCreated
			}
		}
		server.Kill()
		d.client.CloseIdleConnections()
		server = d.start(t)
	}
	e2e.Eventually(t, "all steps are taken", func() bool { return d.stepped(t, server.URL(), claimed, r) })
	if len(claimed) == 0 {
		t.Error("nobody claimed anything")
	}
}

// stepped reports whether every step was sent, and fails the test on a violation.
func (d *desk) stepped(t *testing.T, url string, claimed map[string]bool, r *hooks) bool {
	t.Helper()
	steps, taken, told := make(map[string]int), make(map[string]bool), make(map[string]bool)
	r.mu.Lock()
	for _, id := range r.ids {
		told[id] = true
	}
	r.mu.Unlock()
	ended := true
	for _, e := range d.answers(t, url, "desk") {
		switch {
		case e.Type == "alert.claimed":
			taken[e.CE.Subject] = true
		case e.Type != "alert.step":
			t.Fatalf("%+v", e)
		case taken[e.CE.Subject]:
			t.Fatalf("step %d of %s follows its claim", e.Data.Step, e.CE.Subject)
		case e.Data.Step != steps[e.CE.Subject]+1:
			t.Fatalf("step %d of %s follows step %d", e.Data.Step, e.CE.Subject, steps[e.CE.Subject])
		default:
			steps[e.CE.Subject]++
		}
		ended = ended && (told[e.ID] || claimed[e.CE.Subject])
	}
	for _, id := range d.ids {
		if claimed[id] && !taken[id] {
			t.Fatalf("the claim of %s was acknowledged, and is not in the log", id)
		}
		ended = ended && (steps[id] == 3 || taken[id])
	}
	return ended
}
