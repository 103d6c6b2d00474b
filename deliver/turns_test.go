package deliver_test

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestTurns: deliveries that have something to send at once do not all start at once, because publishers would wait for
// the processor behind them; slow receivers hold nobody up.
func TestTurns(t *testing.T) {
	test(t, func(t *testing.T, s *scene) {
		most := 2 * runtime.GOMAXPROCS(0)
		var mu sync.Mutex
		begun := make(map[time.Duration]int)
		first := time.Now()
		s.receiver.set(func(_ int, g got) *http.Response {
			mu.Lock()
			begun[g.at.Sub(first)]++
			mu.Unlock()
			time.Sleep(20 * time.Second)
			return status(http.StatusOK)
		})
		for i := range 3 * most {
			s.put(fmt.Sprint("d", i), settings("orders"))
		}
		first = time.Now()
		s.publish(1, "orders")
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		all := 0
		for after, n := range begun {
			all += n
			if n > most {
				t.Errorf("%d attempts begin after %v, want at most %d", n, after, most)
			}
			if after > 10*time.Millisecond {
				t.Errorf("%d attempts begin after %v only", n, after)
			}
		}
		if all != 3*most {
			t.Errorf("%d attempts have begun, want %d", all, 3*most)
		}
	})
}
