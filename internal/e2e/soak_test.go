package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/e2e"
)

const (
	soakMemory  = 512 << 20 // of the container that the defaults are made for
	soakReaders = 10
	soakPace    = 20 * time.Millisecond // between two honest publishes

	// How many times slower the hostile side may make an honest publish, at the 99th percentile, than a neighbour that
	// uses as much of the processor.
	soakRatio = 3
)

// TestHostileSoak: clients of every kind that costs memory do not take a server beyond the 512 MiB that its defaults
// are made for, and an honest publisher and ten subscribers lose nothing beside them. The long version also compares
// the publisher's times with those beside a neighbour that only burns as much of the processor.
func TestHostileSoak(t *testing.T) {
	length := 6 * time.Second
	if full() {
		length = 10 * time.Minute
	}
	wrap, limited := memoryLimit(t)
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: filepath.Join(t.TempDir(), "data"),
		Wrap: wrap, Env: []string{"GOMEMLIMIT=400MiB"},
		Args: []string{"--max-topics", "50000", "--idempotency-max", "100000",
			"--retain-bytes", "128MiB", "--stall-timeout", "10s"}})
	s := newSoak(t, server)
	cpu := s.beside("attack "+server.URL(), length)
	hostile := s.take()
	t.Logf("hard limit: %s; peak of the resident set: %d MiB, of its anonymous part %d MiB; "+
		"the hostile side took %.2f processors", limited, s.peak>>20, s.peakAnon>>20, cpu)
	// Under a hard limit the kernel decides: it fills the rest with pages of the log's file, and does not count the
	// program's pages if another process has read them first.
	if wrap == nil && s.peak > soakMemory {
		t.Errorf("the server took %d MiB, want at most %d", s.peak>>20, soakMemory>>20)
	}
	if full() {
		s.beside("burn "+strconv.FormatFloat(cpu, 'f', 3, 64), 2*time.Minute)
		control := s.take()
		got, want := p99(hostile), p99(control)
		t.Logf("p99 of %d publishes: %v; of %d beside a neighbour: %v", len(hostile), got,
			len(control), want)
		if got > soakRatio*want {
			t.Errorf("p99 is %v, want at most %d times %v", got, soakRatio, want)
		}
	}
	s.finish()
}

// memoryLimit returns a command that runs another under a hard memory limit, and its description; no command where no
// cgroup can be created.
func memoryLimit(t *testing.T) (wrap []string, what string) {
	t.Helper()
	for _, file := range []string{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
		"/sys/fs/cgroup/memory.max"} {
		root, limit := filepath.Split(file)
		dir := filepath.Join(root, fmt.Sprintf("tidings-soak-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) }) // works once the server is gone
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
			continue // an ordinary directory, in which a file of any name can be written
		}
		if os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(soakMemory)), 0) == nil {
			return []string{"/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, dir}, dir
		}
	}
	return nil, "none, no cgroup can be made here"
}

// soak is the honest side: a publisher of numbered events and its subscribers.
type soak struct {
	t      *testing.T
	server *e2e.Server
	ctx    context.Context
	client *http.Client

	published      int
	times          []time.Duration
	peak, peakAnon int64

	target  atomic.Int64 // the last number to be published, once it is known
	readers sync.WaitGroup
	errs    chan error
}

func newSoak(t *testing.T, server *e2e.Server) *soak {
	t.Helper()
	s := &soak{t: t, server: server, errs: make(chan error, soakReaders)}
	s.ctx, s.client = newClient(t)
	s.target.Store(-1)
	for range soakReaders {
		stream, err := e2e.Subscribe(s.ctx, s.client, server.URL(), "topic=honest", "")
		if err != nil {
			t.Fatal(err)
		}
		s.readers.Go(func() {
			if err := s.follow(stream); err != nil {
				s.errs <- err
			}
		})
	}
	return s
}

// follow reads every number in order, over as many streams as it takes.
func (s *soak) follow(stream *e2e.Stream) error {
	next, last := 0, ""
	for {
		e, err := stream.Next()
		switch {
		case s.ctx.Err() != nil:
			return fmt.Errorf("got %d events, then the test ended", next)
		case err != nil:
			stream.Close()
			stream, err = e2e.Subscribe(s.ctx, s.client, s.server.URL(), "topic=honest", last)
			if err != nil {
				return err
			}
			continue
		case e.Type == "tidings.gap":
			return fmt.Errorf("a gap after %d events: %s", next, e.Data)
		}
		last = cmp.Or(stream.LastEventID(), last)
		if e2e.IsControl(e) {
			if int64(next) == s.target.Load() {
				return stream.Close()
			}
			continue
		}
		var n int
		if err := json.Unmarshal(e.Data, &n); err != nil || n != next {
			return fmt.Errorf("got %s after %d events: %w", e.Data, next, err)
		}
		if next++; int64(next) == s.target.Load() {
			return stream.Close()
		}
	}
}

// beside publishes while a child of this binary follows its order, and returns how many processors the child used.
func (s *soak) beside(order string, length time.Duration) (processors float64) {
	s.t.Helper()
	child, _ := startChild(s.t, order)
	begin := time.Now()
	pace := time.NewTicker(soakPace)
	defer pace.Stop()
	for time.Since(begin) < length {
		s.publish(strconv.Itoa(s.published))
		s.published++
		<-pace.C
	}
	_ = child.Process.Kill()
	_ = child.Wait() // killed
	state := child.ProcessState
	return (state.UserTime() + state.SystemTime()).Seconds() / time.Since(begin).Seconds()
}

// publish publishes an event, repeats it while it is not stored, and samples the server's memory.
func (s *soak) publish(data string) {
	s.t.Helper()
	begin := time.Now()
	for {
		_, outcome, err := e2e.Publish(s.ctx, s.client, s.server.URL(), "honest", []byte(data))
		if outcome == e2e.Stored {
			break
		}
		if outcome != e2e.NotStored || time.Since(begin) > e2e.Patience {
			s.t.Fatalf("publish: %v", err)
		}
	}
	s.times = append(s.times, time.Since(begin))
	s.peak = max(s.peak, memoryOf(s.t, s.server.Pid(), "VmRSS:"))
	s.peakAnon = max(s.peakAnon, memoryOf(s.t, s.server.Pid(), "RssAnon:"))
}

// take returns the times of the publishes since the last call.
func (s *soak) take() []time.Duration {
	times := s.times
	s.times = nil
	return times
}

// finish waits until every subscriber has got everything.
func (s *soak) finish() {
	s.t.Helper()
	s.target.Store(int64(s.published) + 1)
	s.publish(strconv.Itoa(s.published)) // this wakes them
	done := make(chan struct{})
	go func() { s.readers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(e2e.Patience):
		s.t.Error("subscribers did not get everything")
	}
	select {
	case err := <-s.errs:
		s.t.Errorf("a subscriber: %v", err)
	default:
	}
}

func p99(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}
