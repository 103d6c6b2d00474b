//go:build bench

package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings/internal/e2e"
)

const (
	crowdPairs = 5
	crowdTurn  = 10 * time.Second
	crowdTime  = crowdPairs * crowdTurn // that the server under test works
)

// startReceiver starts a child that takes deliveries, and returns its URL.
func startReceiver(t *testing.T) (receiver *exec.Cmd, url string) {
	t.Helper()
	receiver, out := startChild(t, "receive")
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return receiver, strings.TrimSpace(url)
}

// besideIdle measures in turns how long a publish takes on a server that sends to a receiver, and on an idle one beside
// a process that burns as much as the other server and the receiver. Before each turn of the former it calls begin. The
// median ratio of the pairs of turns must not exceed most.
func besideIdle(t *testing.T, with *desk, server *e2e.Server, receiver *exec.Cmd, most float64, begin func()) {
	t.Helper()
	idle := newDesk(t)
	plain := idle.start(t)
	var p50s, p99s []float64
	for range crowdPairs {
		server.Signal(syscall.SIGCONT)
		begin()
		used, began := e2e.CPU(t, server.Pid(), receiver.Process.Pid), time.Now()
		crowd := publishPaced(t, with, server.URL())
		share := (e2e.CPU(t, server.Pid(), receiver.Process.Pid) - used).Seconds() / time.Since(began).Seconds()
		server.Signal(syscall.SIGSTOP)
		child, _ := startChild(t, "work "+strconv.FormatFloat(share, 'f', 3, 64))
		used, began = e2e.CPU(t, child.Process.Pid), time.Now()
		control := publishPaced(t, idle, plain.URL())
		burnt := (e2e.CPU(t, child.Process.Pid) - used).Seconds() / time.Since(began).Seconds()
		_ = child.Process.Kill()
		p50s, p99s = append(p50s, ratioAt(crowd, control, 50)), append(p99s, ratioAt(crowd, control, 99))
		t.Logf("%.2f processors, control %.2f; p50 %v, control %v; p99 %v, control %v", share, burnt,
			crowd[len(crowd)/2], control[len(control)/2], crowd[len(crowd)*99/100], control[len(control)*99/100])
	}
	server.Signal(syscall.SIGCONT)
	slices.Sort(p50s)
	slices.Sort(p99s)
	p50, p99 := p50s[crowdPairs/2], p99s[crowdPairs/2]
	t.Logf("publish ÷ control: p50 %.2f, p99 %.2f", p50, p99)
	if p50 > most || p99 > most {
		t.Errorf("a publish takes %.2f (p50) and %.2f (p99) of the control's, want at most %v", p50, p99, most)
	}
}

// publishPaced publishes 50 events a second to single topics and 2 to another, and returns how long each took.
func publishPaced(t *testing.T, d *desk, url string) (took []time.Duration) {
	t.Helper()
	pace := time.NewTicker(time.Second / 52)
	defer pace.Stop()
	for n, began := 0, time.Now(); time.Since(began) < crowdTurn; n++ {
		topic := fmt.Sprintf("single.%d", n*2%deliveries)
		if n%26 == 0 {
			topic = "rest"
		}
		<-pace.C
		at := time.Now()
		if _, _, err := e2e.Publish(d.ctx, d.client, url, topic, missedData()); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(at))
	}
	return took
}

func ratioAt(a, b []time.Duration, percent int) float64 {
	at := func(times []time.Duration) float64 {
		slices.Sort(times)
		return times[len(times)*percent/100].Seconds()
	}
	return at(a) / at(b)
}

// sumOf returns the sum of a server's series that begin with prefix.
func sumOf(d *desk, url, prefix string) (sum float64) {
	_, text := d.do(http.MethodGet, url+"/metrics", "", "")
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, prefix) {
			n, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			sum += n
		}
	}
	return sum
}
