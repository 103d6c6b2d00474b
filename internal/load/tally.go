package load

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// mark is the start of each event's data: its publisher, its number, and when its publish began, in nanoseconds of Unix
// time.
type mark struct {
	By  int    `json:"by"`
	Seq int    `json:"seq"`
	At  int64  `json:"at"`
	Pad string `json:"pad,omitempty"`
}

// appendData appends the data of an event of about size bytes.
func appendData(dst []byte, by, seq, size int) []byte {
	begin := len(dst)
	dst = fmt.Appendf(dst, `{"by":%d,"seq":%d,"at":%d`, by, seq, time.Now().UnixNano())
	if pad := size - (len(dst) - begin) - len(`,"pad":""}`); pad > 0 {
		dst = append(dst, `,"pad":"`...)
		dst = append(dst, strings.Repeat(".", pad)...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// sequence checks what one reader gets: everything of each publisher, once and in order.
type sequence struct {
	next                            map[int]int // by publisher
	missing, duplicates, outOfOrder int
	skipped                         map[[2]int]bool // not received since
}

// take records an event. One that comes after a later one is out of order.
func (s *sequence) take(data []byte) (at time.Time, ok bool) {
	var m mark
	if json.Unmarshal(data, &m) != nil || m.At == 0 {
		return time.Time{}, false
	}
	if s.next == nil {
		s.next, s.skipped = make(map[int]int), make(map[[2]int]bool)
	}
	switch next := s.next[m.By]; {
	case m.Seq >= next:
		for skipped := next; skipped < m.Seq; skipped++ {
			s.skipped[[2]int{m.By, skipped}] = true
			s.missing++
		}
		s.next[m.By] = m.Seq + 1
	case s.skipped[[2]int{m.By, m.Seq}]:
		delete(s.skipped, [2]int{m.By, m.Seq})
		s.missing--
		s.outOfOrder++
	default:
		s.duplicates++
	}
	return time.Unix(0, m.At), true
}

// end records what was published but not received.
func (s *sequence) end(published []int) {
	for by, n := range published {
		s.missing += max(0, n-s.next[by])
	}
}

// count is how many events were received, each counted once.
func (s *sequence) count() (n int) {
	for _, next := range s.next {
		n += next
	}
	return n - len(s.skipped)
}

// timing is a histogram of durations, with three digits, up to an hour. It may be used concurrently.
type timing struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

func newTiming() *timing {
	return &timing{h: hdrhistogram.New(1, time.Hour.Microseconds(), 3)}
}

func (t *timing) since(begin time.Time) {
	us := min(max(1, time.Since(begin).Microseconds()), time.Hour.Microseconds())
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.h.RecordValue(us) // always in its range
}

// Latency is in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// latency is nil if nothing was timed.
func (t *timing) latency() *Latency {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h.TotalCount() == 0 {
		return nil
	}
	at := func(q float64) float64 { return float64(t.h.ValueAtQuantile(q)) / 1000 }
	return &Latency{at(50), at(90), at(99), at(99.9), float64(t.h.Max()) / 1000}
}
