package deliver_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
	"tidings/store/bolt"
)

// BenchmarkIdleDeliveries: a delivery's memory while nothing is due, stack included. Half have a topic of their own.
func BenchmarkIdleDeliveries(b *testing.B) {
	const n = 1000
	log, err := bolt.Open(b.TempDir(), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	tail := replay.NewTail(log, replay.TailOptions{})
	defer tail.Close()
	served := &takesAll{want: n / 2, all: make(chan struct{})}
	open := func() *deliver.Sender {
		s, err := deliver.New(log, tail, deliver.Options{Guard: outbound.New(outbound.Options{}),
			Key: seal.NewFile(filepath.Join(b.TempDir(), "secrets.key")), Client: &http.Client{Transport: served}})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := open()
	for i := range n {
		topic := []string{">", fmt.Sprintf("orders.%d", i)}[i%2]
		if _, _, err := s.Put(b.Context(), fmt.Sprintf("delivery-%d", i), settings(topic)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := store.Append(b.Context(), log, []store.Draft{{Topic: "all", ContentType: "application/json",
		Data: []byte("1")}}); err != nil {
		b.Fatal(err)
	}
	<-served.all
	s.Close()
	for b.Loop() {
		before, goroutines := heapAndStack(), runtime.NumGoroutine()
		s := open()
		for settled := time.Now().Add(time.Second); time.Now().Before(settled); {
			runtime.Gosched() // until all have looked
		}
		b.ReportMetric(float64(heapAndStack()-before)/n, "B/delivery")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")
		s.Close()
	}
}

func heapAndStack() uint64 {
	used := heap()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return used + m.StackInuse
}
