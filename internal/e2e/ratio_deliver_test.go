//go:build bench

package e2e_test

import (
	"fmt"
	"testing"
)

// deliveries is how many are created: half of them for one topic each, half for all topics.
const deliveries = 1000

// TestRatioDeliveries measures in turns what a thousand deliveries over HTTP, of which a hundred receivers are slow and
// three hundred refuse, cost a publisher, compared with a server without any, beside processes that burn as much. The
// target is nothing (1.1); docs/BENCHMARKS.md has the figure.
func TestRatioDeliveries(t *testing.T) {
	receiver, url := startReceiver(t)
	with := newDesk(t)
	server := with.start(t)
	for i := range deliveries {
		topic, path := ">", "ok"
		if i%2 == 0 {
			topic = fmt.Sprintf("single.%d", i)
		}
		switch i / 2 % 10 { // within each half
		case 0:
			path = "slow"
		case 1, 2, 3:
			path = "refuse"
		}
		with.put(t, server.URL(), fmt.Sprintf("/v1/deliveries/d%d", i),
			fmt.Sprintf(`{"url":"%s/%s/%d","topics":[%q],"secret":%q}`, url, path, i, topic, hookSecret))
	}
	besideIdle(t, with, server, receiver, 3, func() {})
	attempts := sumOf(with, server.URL(), "tidings_delivery_attempts_total")
	t.Logf("%d deliveries; %.0f attempts a second", deliveries, attempts/crowdTime.Seconds())
}
