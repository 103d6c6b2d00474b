package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tidings/internal/e2e"
)

// topicOp is what somebody asks of a topic: to publish an event, a batch or the end, on the condition that nothing has
// come since an event, "" for none; to publish whatever has come, of which narrow says what that was; or to say what is
// newest.
type topicOp struct {
	verb, after string
}

type topicResult struct {
	status int
	newest string // after what was stored, or as a refusal says
}

// topicState is what decides about a topic: its newest event, "" for none, and whether that is its end.
type topicState struct {
	newest string
	ended  bool
}

var topicModel = porcupine.Model{
	Init: func() any { return topicState{} },
	Step: func(state, input, output any) (bool, any) {
		s, op, result := state.(topicState), input.(topicOp), output.(topicResult)
		switch {
		case op.verb == "look":
			return s.newest == result.newest, s
		case result.status == http.StatusConflict:
			return s.ended, s
		case op.verb == "end" && s.ended:
			return result.status == http.StatusOK && s.newest == result.newest, s
		case result.status == http.StatusPreconditionFailed:
			return !s.ended && op.verb != "plain" && s.newest == result.newest && s.newest != op.after, s
		case result.status == http.StatusCreated || result.status == http.StatusOK:
			return !s.ended && s.newest == op.after, topicState{result.newest, op.verb == "end"}
		}
		return false, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// TestTopicsUnderKill: many publish events and batches to the same topics, and end them, with and without a condition,
// beside trims, and the server is killed again and again. Whoever gets no response asks again with the same key. The
// history of each topic is one of a topic whose newest event decides.
func TestTopicsUnderKill(t *testing.T) {
	publishers, rounds, perRound := 24, 8, int64(600)
	if full() {
		publishers, rounds, perRound = 64, 50, 2000
	}
	h := newTopics(t, publishers)
	for range rounds {
		h.round(t, perRound)
	}
	server := e2e.Start(t, h.options)
	for by, p := range h.publishers { // what nobody knows yet
		if p.asked != nil && !h.turn(server.URL(), by) {
			t.Fatal("the last server does not respond")
		}
	}
	h.check(t, server.URL())
	h.checkLog(t, server.URL())
}

// topics are what is published to. A lane is a topic until that has ended, and then the next one.
type topics struct {
	ctx        context.Context
	client     *http.Client
	options    e2e.Options
	began      time.Time
	lanes      [6]atomic.Int64
	publishers []*publisher

	mu       sync.Mutex
	history  []topicEntry
	replayed int
}

type topicEntry struct {
	topic string
	porcupine.Operation
}

// publisher asks one thing after the other.
type publisher struct {
	random *rand.Rand
	seen   map[string]string // the newest event, by topic
	n      int               // what was asked
	asked  *topicAsked       // that there is no response to yet
}

type topicAsked struct {
	topicOp
	lane      int
	topic     string
	key, body string
	first     int64 // when it was asked for the first time
}

func newTopics(t *testing.T, publishers int) *topics {
	h := &topics{began: time.Now(), options: e2e.Options{Binary: binary, DataDir: t.TempDir()}}
	h.ctx, h.client = newClient(t)
	n := seed(t)
	for by := range publishers {
		h.publishers = append(h.publishers, &publisher{random: rand.New(rand.NewPCG(n, uint64(by))),
			seen: make(map[string]string)})
	}
	return h
}

func (h *topics) topic(lane int) string {
	return fmt.Sprintf("topics.%d.%d", lane, h.lanes[lane].Load())
}

// round is the life of one server.
func (h *topics) round(t *testing.T, count int64) {
	server := e2e.Start(t, h.options)
	var left atomic.Int64
	left.Store(count)
	reached := make(chan struct{})
	var all sync.WaitGroup
	for by := range h.publishers {
		all.Go(func() {
			for h.turn(server.URL(), by) {
				if left.Add(-1) == 0 {
					close(reached)
				}
			}
		})
	}
	all.Go(func() {
		for alive := true; alive; {
			topic := h.topic(0)
			status, _, _ := h.do(http.MethodPost, server.URL()+"/v1/topics/"+topic+"/trim?before="+
				h.newest(server.URL(), topic), "")
			alive = status != 0
		}
	})
	select {
	case <-reached:
	case <-time.After(e2e.Patience):
		t.Error("publishing hangs")
	}
	server.Kill()
	all.Wait()
	h.client.CloseIdleConnections()
}

// turn asks for what a publisher waits for, or for something else, and reports whether there was a response.
func (h *topics) turn(url string, by int) bool {
	p := h.publishers[by]
	call := int64(time.Since(h.began))
	if p.asked == nil {
		p.asked = h.next(p, by, call)
	}
	a := p.asked
	status, body, replayed := h.do(http.MethodPost, url+a.path(), a.body, a.headers()...)
	returned := int64(time.Since(h.began))
	var answer struct {
		ID, Current string
		Events      []struct{ ID string }
	}
	if status == 0 || json.Unmarshal(body, &answer) != nil {
		return false
	}
	result := topicResult{status, answer.ID + answer.Current}
	if len(answer.Events) > 0 {
		result.newest = answer.Events[len(answer.Events)-1].ID
	}
	if status == http.StatusOK || status == http.StatusCreated {
		call = a.first // one of the requests with the key has stored it
	}
	if p.seen[a.topic] = result.newest; status == http.StatusConflict {
		h.lanes[a.lane].CompareAndSwap(h.generation(a), h.generation(a)+1)
	}
	p.asked = nil
	h.mu.Lock()
	defer h.mu.Unlock()
	if replayed {
		h.replayed++
	}
	h.history = append(h.history, topicEntry{a.topic, porcupine.Operation{ClientId: by, Input: a.topicOp, Call: call,
		Output: result, Return: returned}})
	return true
}

func (h *topics) generation(a *topicAsked) (n int64) {
	_, _ = fmt.Sscanf(a.topic[strings.LastIndex(a.topic, ".")+1:], "%d", &n)
	return n
}

// next is what a publisher asks for next.
func (h *topics) next(p *publisher, by int, now int64) *topicAsked {
	p.n++
	a := &topicAsked{lane: p.random.IntN(len(h.lanes)), key: fmt.Sprintf("%d-%d", by, p.n), first: now}
	a.topic = h.topic(a.lane)
	a.verb, a.after, a.body = "event", p.seen[a.topic], `{"key":"`+a.key+`"}`
	switch n := p.random.IntN(100); {
	case n < 20:
		a.verb, a.body = "batch", ""
		for i := range 1 + p.random.IntN(3) {
			a.body += fmt.Sprintf(`{"topic":%q,"data":{"key":"%s","line":%d}}`+"\n", a.topic, a.key, i)
		}
	case n < 25:
		a.verb, a.after = "plain", ""
	case n < 30:
		a.verb, a.body = "end", ""
	}
	return a
}

func (a *topicAsked) path() string {
	switch a.verb {
	case "batch":
		return "/v1/events"
	case "end":
		return "/v1/topics/" + a.topic + "/end"
	}
	return "/v1/topics/" + a.topic + "/events"
}

func (a *topicAsked) headers() []string {
	all := []string{"Idempotency-Key", a.key, "Content-Type", "application/json"}
	switch a.verb {
	case "batch":
		all[3] = "application/x-ndjson"
	case "plain":
		return all
	}
	if a.after == "" {
		return append(all, "If-None-Match", "*")
	}
	return append(all, "If-Match", `"`+a.after+`"`)
}

// do returns status 0 if there was no response, or one that says nothing about the event.
func (h *topics) do(method, url, body string, headers ...string) (status int, answer []byte, replayed bool) {
	req, err := http.NewRequestWithContext(h.ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, false
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return 0, nil, false
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 500 {
		return 0, nil, false
	}
	return resp.StatusCode, answer, resp.Header.Get("Idempotency-Replayed") == "true"
}

// newest returns the newest event of a topic, "" for none.
func (h *topics) newest(url, topic string) string {
	_, body, _ := h.do(http.MethodGet, url+"/v1/topics/"+topic, "")
	var info struct{ Newest string }
	_ = json.Unmarshal(body, &info) // the server is gone
	return info.Newest
}

// check compares the histories with the model, and expects that everything has happened.
func (h *topics) check(t *testing.T, url string) {
	t.Helper()
	histories, answers := make(map[string][]porcupine.Operation), make(map[string]int)
	for _, op := range h.history {
		histories[op.topic] = append(histories[op.topic], op.Operation)
		answers[fmt.Sprint(op.Input.(topicOp).verb, " ", op.Output.(topicResult).status)]++
	}
	for topic, history := range histories {
		last := porcupine.Operation{Input: topicOp{verb: "look"}, Call: int64(time.Since(h.began))}
		last.Output = topicResult{newest: h.newest(url, topic)}
		last.Return = int64(time.Since(h.began))
		history = append(history, last)
		if !narrow(history) {
			t.Errorf("the history of %s is in another order than its IDs: %+v", topic, history)
		} else if result := porcupine.CheckOperationsTimeout(topicModel, history, time.Minute); result != porcupine.Ok {
			t.Errorf("the history of %s is %s: %+v", topic, result, history)
		}
	}
	for _, of := range strings.Split("event 201,event 412,event 409,batch 201,batch 412,plain 201,end 201", ",") {
		if answers[of] == 0 {
			t.Errorf("there was no %s", of)
		}
	}
	t.Logf("%d topics, %d requests repeated that had stored; responses: %v", len(histories), h.replayed, answers)
}

// narrow has each request begin no earlier than what it must follow: IDs rise in the order of the log, and whoever was
// refused came after the event that the response names and before the next one. Without that the check tries too many
// orders. It reports whether nothing ended before that.
func narrow(history []porcupine.Operation) bool {
	stored, refused := make(map[string][]*porcupine.Operation), make(map[string][]*porcupine.Operation)
	for i := range history {
		op := &history[i]
		switch result := op.Output.(topicResult); {
		case op.Input.(topicOp).verb == "look":
		case result.status == http.StatusConflict:
			refused[""] = append(refused[""], op) // after the last
		case result.status == http.StatusPreconditionFailed:
			refused[result.newest] = append(refused[result.newest], op)
		default:
			stored[result.newest] = append(stored[result.newest], op)
		}
	}
	at, last, fits := int64(0), "", true
	begin := func(op *porcupine.Operation, after int64) {
		op.Call = max(op.Call, after+1)
		fits = fits && op.Call <= op.Return
	}
	for _, id := range append(slices.Sorted(maps.Keys(stored)), "") {
		first := int64(math.MaxInt64) // an end may have been asked for by several
		for _, op := range stored[id] {
			first = min(first, op.Call)
		}
		if id != "" {
			at = max(at+1, first)
		}
		for _, op := range stored[id] {
			begin(op, at-1)
			if input := op.Input.(topicOp); input.verb == "plain" {
				op.Input = topicOp{"plain", last}
			}
		}
		before := at
		for _, op := range refused[id] {
			begin(op, before)
			at = max(at, op.Call)
		}
		last = id
	}
	return fits
}

// checkLog reads what was not trimmed: what was asked for once is there once.
func (h *topics) checkLog(t *testing.T, url string) {
	t.Helper()
	found := make(map[string]bool)
	for query := "since=earliest"; ; {
		_, body, _ := h.do(http.MethodGet, url+"/v1/events?limit=1000&"+query, "")
		var page struct {
			Next   string
			Events []struct{ Data json.RawMessage }
		}
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		for _, e := range page.Events {
			if data := string(e.Data); found[data] && data != "null" { // of an end
				t.Errorf("%s is in the log twice", data)
			} else {
				found[data] = true
			}
		}
		if query = "after=" + page.Next; len(page.Events) == 0 {
			return
		}
	}
}
