package e2e

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Output collects what a process or a logger writes. It may be read at any time.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed at the next write; nil while nobody waits
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.text.Write(p)
}

// String returns everything written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// find returns the first whole line from the offset that contains text. If there is none it returns the offset to
// continue from, and a channel that is closed when there may be one.
func (o *Output) find(text string, from int) (line string, next int, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.text.String()[from:]) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		if strings.Contains(line, text) {
			return line, from, nil
		}
		from += len(line)
	}
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return "", from, o.more
}

// wait returns the first line that contains text. It fails the test if the process ends without one.
func (o *Output) wait(t testing.TB, text string, exited <-chan struct{}) string {
	t.Helper()
	timeout := time.After(Patience)
	for from := 0; ; {
		line, next, more := o.find(text, from)
		if more == nil {
			return line
		}
		from = next
		select {
		case <-more:
		case <-exited:
			if line, _, more := o.find(text, from); more == nil {
				return line
			}
			t.Fatalf("the server ended without writing %q", text)
		case <-timeout:
			t.Fatalf("the server does not write %q", text)
		}
	}
}
