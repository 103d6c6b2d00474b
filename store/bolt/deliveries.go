package bolt

import (
	"context"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/internal/commit"
)

// The bucket deliveries is created with the first delivery. An older release ignores it: it sends nothing.

// SetDeliveries implements store.Log.
func (l *Log) SetDeliveries(ctx context.Context, changes []store.NamedDelivery, ride bool) error {
	r, err := commit.SetDeliveries(changes)
	if err != nil || len(changes) == 0 {
		return err
	}
	if ride && l.queue.ride(ctx, &r) {
		return nil
	}
	_, err = l.queue.do(ctx, r)
	return err
}

// rideWithin is how long a request waits for a commit that happens anyway.
const rideWithin = 500 * time.Millisecond

// ride waits for a commit of other requests to take this one along, and reports whether one has stored it.
func (q *queue) ride(ctx context.Context, wanted *commit.Request) bool {
	r := &request{Request: *wanted, weight: draftBytes, done: make(chan struct{}, 1)}
	q.mu.Lock()
	q.riders = append(q.riders, r)
	q.mu.Unlock()
	late := time.NewTimer(rideWithin)
	defer late.Stop()
	select {
	case <-r.done:
		return r.outcome.Err == nil
	case <-late.C:
	case <-ctx.Done():
	}
	q.mu.Lock()
	waits := slices.Index(q.riders, r)
	if waits >= 0 {
		q.riders = slices.Delete(q.riders, waits, waits+1)
	}
	q.mu.Unlock()
	if waits >= 0 {
		return false
	}
	select {
	case <-r.done:
		return r.outcome.Err == nil
	case <-time.After(patience): // the disk hangs: sent as its own request, it learns of that
		return false
	}
}

// board adds the waiting riders to a batch. The caller holds mu.
func (q *queue) board(batch []*request) []*request {
	if len(batch) == 0 {
		return batch
	}
	for _, r := range q.riders {
		q.bytes += r.taken()
	}
	batch = append(batch, q.riders...)
	clear(q.riders)
	q.riders = q.riders[:0]
	return batch
}

// Delivery implements store.Log.
func (l *Log) Delivery(name string) (d store.Delivery, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketDeliveries)
		if b == nil {
			return store.ErrNotFound
		}
		value := b.Get([]byte(name))
		if value == nil {
			return store.ErrNotFound
		}
		d, _ = decodeDelivery([]byte(name), value)
		return nil
	})
	return d, err
}

// Deliveries implements store.Log.
func (l *Log) Deliveries() (list []store.NamedDelivery, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketDeliveries)
		if b == nil {
			return nil
		}
		return b.ForEach(func(key, value []byte) error {
			d, _ := decodeDelivery(key, value) // a damaged one is listed
			list = append(list, store.NamedDelivery{Name: string(key), Delivery: d})
			return nil
		})
	})
	return list, err
}

// putDeliveries sets and deletes the commit's deliveries.
func (ch *change) putDeliveries(tx *bbolt.Tx) (err error) {
	if len(ch.Deliveries) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(bucketDeliveries)
	for i := range ch.Deliveries {
		if err != nil {
			break
		}
		if d := &ch.Deliveries[i]; d.Record == nil {
			err = b.Delete([]byte(d.Name))
		} else {
			err = b.Put([]byte(d.Name), encodeDelivery(d))
		}
	}
	return err
}

func encodeDelivery(d *store.NamedDelivery) []byte {
	v := append(make([]byte, sumSize, sumSize+len(d.ID)+len(d.Record)), d.ID[:]...)
	v = append(v, d.Record...)
	seal([]byte(d.Name), v)
	return v
}

// decodeDelivery returns a copy, or false if the value is damaged.
func decodeDelivery(key, value []byte) (d store.Delivery, ok bool) {
	rest, ok := unseal(key, value)
	if !ok || len(rest) < len(d.ID) {
		return store.Delivery{}, false
	}
	return store.Delivery{ID: store.ID(rest), Record: append([]byte{}, rest[len(d.ID):]...)}, true
}
