package api_test

import (
	"bytes"
	"fmt"
	"testing"

	"tidings/api"
	"tidings/internal/e2e"
)

// BenchmarkBatch measures the cost of an event in a batch of 1,000 through HTTP, in both forms, each with 256 bytes
// of data.
func BenchmarkBatch(b *testing.B) {
	for _, form := range batchForms {
		b.Run(form.name, func(b *testing.B) {
			s := newServer(b, openLog(b), 0, api.Options{})
			publishers := dialPublishers(b, s, 4)
			for i, p := range publishers {
				form.fill(p, fmt.Sprintf("%04d", i), batchEvents)
			}
			batches := (b.N + batchEvents - 1) / batchEvents
			b.ReportAllocs()
			before := e2e.OwnCPU()
			b.ResetTimer()
			publishWhile(b, publishers, func(begun int) bool { return begun <= batches })
			b.StopTimer()
			b.ReportMetric(float64(e2e.OwnCPU()-before)/float64(batches*batchEvents), "cpu-ns/event")
			b.ReportMetric(float64(batches*batchEvents)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

const batchEvents = 1000

// batchForm is a way to send many events in one request: each event is an item, in which %s stands for something
// unique.
type batchForm struct{ name, mediaType, begin, item, between, end string }

var batchForms = []batchForm{
	{
		"ndjson",
		"application/x-ndjson",
		"",
		`{"topic":"` + benchTopic + `","data":"%s` + benchBody[:240] + `"}`,
		"\n",
		"",
	},
	{"cloudevents", "application/cloudevents-batch+json", "[", `{"specversion":"1.0","id":"%s","source":"/bench",` +
		`"type":"made","topic":"` + benchTopic + `","data":"` + benchBody + `"}`, ",", "]"},
}

// fill makes the publisher's requests batches of this many events, different from those of all other publishers.
func (f batchForm) fill(p *publisher, name string, events int) {
	body := bytes.NewBufferString(f.begin)
	var at []int
	for i := range events {
		if i > 0 {
			body.WriteString(f.between)
		}
		at = append(at, body.Len()+bytes.IndexByte([]byte(f.item), '%'))
		fmt.Fprintf(body, f.item, fmt.Sprintf("%s%06d%06d", name, 0, i))
	}
	body.WriteString(f.end)
	head := fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\n"+
		"Content-Length: %d\r\n\r\n", f.mediaType, body.Len())
	p.request = append([]byte(head), body.Bytes()...)
	batch := 0
	p.prepare = func() []byte {
		batch++
		number := fmt.Appendf(nil, "%06d", batch)
		for _, i := range at {
			copy(p.request[len(head)+i+len(name):], number)
		}
		return p.request
	}
}
