package deliver_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/store"
	"tidings/store/bolt"
)

// takesAll is a push service that takes everything and costs nothing.
type takesAll struct {
	taken atomic.Int64
	all   chan struct{} // closed when all expected requests were taken
	want  int64
}

// RoundTrip implements http.RoundTripper.
func (s *takesAll) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	if s.taken.Add(1) == s.want {
		close(s.all)
	}
	return status(http.StatusCreated), nil
}

// many is a log with n devices, each of its own subject with a read mark, half of which have their own topic.
func many(b *testing.B, n int, o *deliver.PushOptions) (*bolt.Log, func() *deliver.Devices) {
	b.Helper()
	log, err := bolt.Open(b.TempDir(), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	o.Guard, o.Key = outbound.New(outbound.Options{}), seal.NewFile(filepath.Join(b.TempDir(), "secrets.key"))
	o.Contact = "mailto:ops@example.com"
	open := func() *deliver.Devices {
		devices, err := deliver.NewDevices(log, *o)
		if err != nil {
			b.Fatal(err)
		}
		return devices
	}
	devices := open()
	defer devices.Close()
	one, id := newBrowser(""), make(chan int)
	failed := make(chan error, 1)
	for range 256 { // together they share commits
		go func() {
			for i := range id {
				owner := fmt.Sprintf("user-%06d@example.com", i)
				r := one.registration(owner, "orders.eu", "orders.eu."+[]string{"all", owner[:11]}[i%2])
				r.Endpoint = fmt.Sprintf("https://fcm.googleapis.com/fcm/send/%06d:%s", i, strings.Repeat("x", 140))
				r.Mark = "inbox"
				_, _, err := devices.Register(b.Context(), r)
				if err == nil {
					_, err = log.SetMark(b.Context(), owner, "inbox", store.Mark{ID: log.Head(), Topics: r.Topics})
				}
				failed <- err
			}
		}()
	}
	go func() {
		defer close(id)
		for i := range n {
			id <- i
		}
	}()
	err = nil
	for range n {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		b.Fatal(err)
	}
	return log, open
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkIdleDevices: a device's memory while nothing is due, and its part of a start. All share two goroutines.
func BenchmarkIdleDevices(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var o deliver.PushOptions
			log, open := many(b, n, &o)
			defer runtime.KeepAlive(log)
			for b.Loop() {
				before, goroutines, began := heap(), runtime.NumGoroutine(), time.Now()
				devices := open()
				took := time.Since(began)
				b.ReportMetric(float64(heap()-before)/float64(n), "B/device")
				b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")
				b.ReportMetric(took.Seconds(), "s/start")
				devices.Close()
			}
		})
	}
}

// BenchmarkPushAll: one event for all devices, to a push service that costs nothing.
func BenchmarkPushAll(b *testing.B) {
	const n = 10_000
	s := &takesAll{want: n, all: make(chan struct{})}
	o := deliver.PushOptions{Client: &http.Client{Transport: s}}
	log, open := many(b, n, &o)
	for b.Loop() {
		s.taken.Store(0)
		s.all = make(chan struct{})
		devices := open()
		began := time.Now()
		if _, err := store.Append(b.Context(), log, []store.Draft{{Topic: "orders.eu", ContentType: "application/json",
			Data: []byte("1")}}); err != nil {
			b.Fatal(err)
		}
		<-s.all
		b.ReportMetric(n/time.Since(began).Seconds(), "pushes/s")
		devices.Close()
	}
}
