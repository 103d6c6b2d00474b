//go:build bench

package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings/internal/e2e"
)

const (
	deliveries = 1000 // half of them of a topic each, half of everything
	crowdTurn  = 10 * time.Second
)

// TestRatioDeliveries measures in turns what a publisher feels of a thousand deliveries over HTTP, of which a hundred
// receivers are slow and three hundred refuse, beside a server without any and processes that burn as much. It should
// be nothing (1.1); docs/BENCHMARKS.md has the figure.
func TestRatioDeliveries(t *testing.T) {
	const pairs = 5
	receiver, out := startChild(t, "receive")
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)
	with := newDesk(t)
	server := with.start(t)
	for i := range deliveries {
		topic, path := ">", "ok"
		if i%2 == 0 {
			topic = fmt.Sprintf("single.%d", i)
		}
		switch i / 2 % 10 { // of either half
		case 0:
			path = "slow"
		case 1, 2, 3:
			path = "refuse"
		}
		with.put(t, server.URL(), fmt.Sprintf("/v1/deliveries/d%d", i),
			fmt.Sprintf(`{"url":"%s/%s/%d","topics":[%q],"secret":%q}`, url, path, i, topic, hookSecret))
	}
	idle := newDesk(t)
	plain := idle.start(t)
	var p50s, p99s []float64
	for range pairs {
		server.Signal(syscall.SIGCONT)
		used, began := cpuOf(t, server.Pid(), receiver.Process.Pid), time.Now()
		crowd := publishPaced(t, with, server.URL())
		share := (cpuOf(t, server.Pid(), receiver.Process.Pid) - used).Seconds() / time.Since(began).Seconds()
		server.Signal(syscall.SIGSTOP)
		child, _ := startChild(t, "work "+strconv.FormatFloat(share, 'f', 3, 64))
		alone := publishPaced(t, idle, plain.URL())
		_ = child.Process.Kill()
		p50s, p99s = append(p50s, ratioAt(crowd, alone, 50)), append(p99s, ratioAt(crowd, alone, 99))
		t.Logf("%.2f processors; p50 %v, control %v; p99 %v, control %v", share, crowd[len(crowd)/2], alone[len(alone)/2],
			crowd[len(crowd)*99/100], alone[len(alone)*99/100])
	}
	slices.Sort(p50s)
	slices.Sort(p99s)
	server.Signal(syscall.SIGCONT)
	attempts := attemptsOf(with, server.URL())
	t.Logf("publish with %d deliveries ÷ control: p50 %.2f, p99 %.2f; %.0f attempts a second", deliveries, p50s[pairs/2],
		p99s[pairs/2], attempts/(pairs*crowdTurn.Seconds()))
	if p50s[pairs/2] > 10 || p99s[pairs/2] > 10 {
		t.Errorf("a publish takes %.2f (p50) and %.2f (p99) of the control's, want at most 10", p50s[pairs/2], p99s[pairs/2])
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

// cpuOf is the processor time that processes have used.
func cpuOf(t *testing.T, pids ...int) (used time.Duration) {
	t.Helper()
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
		for _, field := range fields[11:13] { // utime and stime, in ticks of 10 ms
			ticks, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}

// attemptsOf is how many requests to receivers a server has made.
func attemptsOf(d *desk, url string) (sum float64) {
	_, text := d.do(http.MethodGet, url+"/metrics", "", "")
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "tidings_delivery_attempts_total") {
			n, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			sum += n
		}
	}
	return sum
}
