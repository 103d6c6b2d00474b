package bolt_test

import (
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"

	"tidings/store"
)

// bare is what appends are measured against: the least that makes events durable in a bbolt file. One
// committer takes all waiting requests into one transaction on one bucket, under ULIDs. The file is opened
// with the log's options, and there is nothing else: no topics, no index, no checksums, no readers.
type bare struct {
	db      *bbolt.DB
	last    store.ID
	in      chan bareRequest
	stopped chan struct{}
}

type bareRequest struct {
	data []byte
	done chan error
}

var bareBucket = []byte("log")

// bareBatch is the maximum number of events in one transaction, as in the log.
const bareBatch = 4096

func openBare(tb testing.TB) *bare {
	tb.Helper()
	db, err := bbolt.Open(filepath.Join(tb.TempDir(), "bare.db"), 0o600, &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 64 << 30,
		NoStatistics: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(
			bareBucket)
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	b := &bare{db: db, in: make(chan bareRequest, 1024), stopped: make(chan struct{})}
	go b.run()
	tb.Cleanup(func() {
		close(b.in)
		<-b.stopped
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

func (b *bare) run() {
	defer close(b.stopped)
	var batch []bareRequest
	for first := range b.in {
		batch = append(batch[:0], first)
		for len(batch) < bareBatch && len(b.in) > 0 {
			batch = append(batch, <-b.in)
		}
		err := b.commit(batch)
		for _, r := range batch {
			r.done <- err
		}
	}
}

func (b *bare) commit(batch []bareRequest) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		fresh, err := ulid.New(ulid.Timestamp(time.Now()), rand.Reader)
		if err != nil {
			return err
		}
		id, _ := b.last.Next()
		if b.last.Before(store.ID(fresh)) {
			id = store.ID(fresh)
		}
		bucket := tx.Bucket(bareBucket)
		bucket.FillPercent = 1
		for i := range batch {
			if err := bucket.Put(id[:], batch[i].data); err != nil {
				return err
			}
			b.last = id
			id, _ = id.Next()
		}
		return nil
	})
}

// append returns once data is durable, along with everything else that waited.
func (b *bare) append(data []byte) error {
	done := make(chan error, 1)
	b.in <- bareRequest{data, done}
	return <-done
}

// appendAlone is one transaction for one event, on the caller's goroutine: nobody else may append.
func (b *bare) appendAlone(data []byte) error {
	return b.commit([]bareRequest{{data: data}})
}
