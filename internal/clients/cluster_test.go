package clients_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidings/internal/e2e"
	"tidings/internal/natstest"
)

// TestComposeCluster: what docker-compose.yml starts with the profile "cluster", from the same configurations but
// without containers. A NATS server, a node or the proxy can be killed.
func TestComposeCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills NATS servers")
	}
	t.Parallel() // it mostly waits, above all for a leader
	caddy, key := e2e.Need(t, "caddy"), rand.Text()+rand.Text()
	servers := natstest.Start(t, 3) // as in deploy/nats
	servers.Await()
	var nodes []*server
	for range 2 {
		nodes = append(nodes, startServer(t, e2e.Options{Args: composedNode(t, servers),
			Env: []string{"TIDINGS_JWT_KEY=" + key}}))
	}
	at, dir := freeAddr(t), t.TempDir()
	configure(t, "../../deploy/caddy/cluster.Caddyfile", dir+"/Caddyfile",
		"grace_period 10s\n", "grace_period 1s\nadmin off\n", ":8080 {\n", "http://"+at+" {\n",
		"node1:8080", hostOf(t, nodes[0].URL()), "node2:8080", hostOf(t, nodes[1].URL()))
	run := func() *process {
		cmd := exec.Command(caddy, "run", "--adapter", "caddyfile", "--config", dir+"/Caddyfile")
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return startProcess(t, cmd)
	}
	proxy := run()
	proxy.awaitLine(t, "serving initial configuration")

	o := &ordering{t: t, servers: servers, token: newToken(t, key)}
	o.publish("http://" + at)
	for _, fault := range []struct{ strike, mend func() }{
		{func() { servers.Kill(0) }, func() { servers.Run(0) }},
		{nodes[0].Kill, func() { nodes[0].restart(t) }},
		{func() { _ = proxy.cmd.Process.Kill(); proxy = run() }, func() {}},
	} {
		fault.strike()
		o.publish("http://" + at)
		fault.mend()
	}
	for _, node := range nodes {
		if got := o.stored(node.URL()); !slices.Equal(got, o.published) {
			t.Errorf("a node has %q, published were %q", got, o.published)
		}
	}
}

// composedNode returns the command of docker-compose.yml's nodes, for these servers.
func composedNode(t *testing.T, servers *natstest.Cluster) []string {
	t.Helper()
	file, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(file), "x-node:")
	_, text, _ = strings.Cut(text, "command: ")
	text, _, _ = strings.Cut(text, "]")
	var addresses []string
	for i := range 3 {
		addresses = append(addresses, fmt.Sprintf("nats://nats%d:4222", i+1), servers.URLs()[i],
			fmt.Sprintf("http://nats%d:8222", i+1), servers.Monitors()[i])
	}
	var args []string
	if err := json.Unmarshal([]byte(strings.NewReplacer(addresses...).Replace(text+"]")), &args); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	own := []string{"serve", "--listen", "0.0.0.0:8080", "--data-dir", "/data"} // startServer adds the test's own
	if len(args) < len(own) || !slices.Equal(args[:len(own)], own) {
		t.Fatalf("the nodes of docker-compose.yml run %q", args)
	}
	return args[len(own):]
}

// ordering publishes events with idempotency keys, retrying each until it is stored.
type ordering struct {
	t         *testing.T
	servers   *natstest.Cluster
	token     string
	published []string
}

func (o *ordering) publish(url string) {
	o.t.Helper()
	data := strconv.Itoa(len(o.published))
	o.servers.Eventually("TIDINGS", "answer that event "+data+" is stored", func() bool {
		resp, err := o.ask(http.MethodPost, url+"/v1/topics/orders/events", data)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusOK
	})
	o.published = append(o.published, data)
}

func (o *ordering) stored(url string) (data []string) {
	o.t.Helper()
	o.servers.Eventually("TIDINGS", "page of all events", func() bool {
		resp, err := o.ask(http.MethodGet, url+"/v1/topics/orders/events", "")
		if err != nil {
			o.t.Fatal(err)
		}
		defer resp.Body.Close()
		var page struct {
			Events []struct {
				Data json.RawMessage `json:"data"`
			} `json:"events"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
			o.t.Fatal(err)
		}
		data = nil
		for _, e := range page.Events {
			data = append(data, string(e.Data))
		}
		return len(data) >= len(o.published)
	})
	return data
}

func (o *ordering) ask(method, url, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(o.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.token)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "order-"+body)
	}
	return http.DefaultClient.Do(r)
}
