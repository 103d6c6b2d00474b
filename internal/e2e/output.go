package e2e

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// output collects what a process writes, and lets others wait for a line of it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed at the next write; nil while nobody waits
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// find returns the first whole line that contains text, and, when there is none, what is closed when
// there may be.
func (o *output) find(text string) (line string, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.text.String()) {
		if strings.HasSuffix(line, "\n") && strings.Contains(line, text) {
			return line, nil
		}
	}
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return "", o.more
}

// wait returns the first line that contains text. It ends the test when the process ends without one.
func (o *output) wait(t testing.TB, text string, exited <-chan struct{}) string {
	t.Helper()
	timeout := time.After(Patience)
	for {
		line, more := o.find(text)
		if more == nil {
			return line
		}
		select {
		case <-more:
		case <-exited:
			if line, more := o.find(text); more == nil {
				return line
			}
			t.Fatalf("the server ended without writing %q", text)
		case <-timeout:
			t.Fatalf("the server does not write %q", text)
		}
	}
}
