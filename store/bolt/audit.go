package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// audit is one verification of a log whose pages are sound.
type audit struct {
	*Report
	tx       *bbolt.Tx
	progress func(done, total uint64)
	topics   []*topic // next: as Open would count them; visible: as found
	damaged  map[store.ID]bool
	trimmed  store.ID
}

// progressEvery is how many events lie between two progress reports.
const progressEvery = 4096

func newAudit(tx *bbolt.Tx, report *Report, progress func(done, total uint64)) *audit {
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	return &audit{Report: report, tx: tx, progress: progress, damaged: make(map[store.ID]bool)}
}

func (a *audit) run() {
	if !a.meta() {
		return
	}
	if err := refusePart(a.tx, a.tx.DB().Path()); err != nil {
		a.problem("%v", err)
	}
	a.records()
	a.epochs()
	a.counters()
	a.sparse()
	a.keys()
	a.marks()
	a.owners()
	a.deliveries()
	a.slots()
}

// meta loads what Open loads. It returns false if nothing else can be compared with it.
func (a *audit) meta() bool {
	var checkpoint store.ID
	for key, id := range map[string]*store.ID{metaLogID: &a.LogID, metaHead: &a.Head,
		metaTrimmed: &a.trimmed, metaCheckpoint: &checkpoint} {
		var err error
		if *id, err = getMetaID(a.tx, key); err != nil {
			a.problem("%v", err)
		}
	}
	switch suspects, err := getMeta(a.tx, metaSuspects); {
	case err != nil:
		a.problem("%v", err)
	case len(suspects)%len(store.ID{}) != 0:
		a.problem("metadata %q has %d bytes, not a list of IDs", metaSuspects, len(suspects))
	}
	if _, _, err := getSecret(a.tx); err != nil {
		a.problem("%v", err)
	}
	if v, err := getMeta(a.tx, metaFormat); err == nil {
		a.Format = binary.BigEndian.Uint32(v) // checkWhole has checked it
	}
	var err error
	if a.topics, err = countTopics(a.tx); err != nil {
		a.problem("%v", err)
	}
	if len(a.Problems) > 0 {
		return false
	}
	if a.Head.Before(checkpoint) || a.Head.Before(a.trimmed) {
		a.problem("the head %s is below the checkpoint %s or the newest trimmed ID %s", a.Head,
			checkpoint, a.trimmed)
	}
	journal := a.tx.Bucket(bucketJournal) != nil
	_, mirror, err := getPlace(a.tx)
	switch {
	case err != nil:
		a.problem("%v", err)
	case mirror != (a.Format == formatMirror), !mirror && journal != (a.Format == formatJournal):
		a.problem("the format is %d; with a journal: %t, with a place: %t", a.Format, journal, mirror)
	}
	a.Topics = len(a.topics)
	return true
}

// records reads the log in order and recounts each topic, in visible.
func (a *audit) records() {
	var done, total uint64
	for _, t := range a.topics {
		total += t.next.count
	}
	c := a.tx.Bucket(bucketLog).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if done++; done%progressEvery == 0 {
			a.progress(done, max(done, total))
		}
		if len(k) != len(store.ID{}) {
			a.problem("the key %.40x in the log is not an ID", k)
			continue
		}
		a.record(store.ID(k), v)
	}
	a.progress(done, done)
}

func (a *audit) record(id store.ID, value []byte) {
	if a.Head.Before(id) {
		a.problem("event %s lies above the head %s", id, a.Head)
	}
	a.Events++
	if a.First.IsZero() {
		a.First = id
	}
	a.Last = id
	r, ok := decodeRecord(id[:], value)
	if !ok || int(r.topic) >= len(a.topics) {
		a.Damaged = append(a.Damaged, id)
		a.damaged[id] = true
		return
	}
	t := a.topics[r.topic]
	s := &t.visible
	// The chain leads to the event before this one; from the first retained event, to one that was trimmed.
	if want := s.last; r.prev != want && !a.damaged[r.prev] &&
		(!want.IsZero() || t.next.trimmed.Before(r.prev)) {
		a.problem("event %s of topic %s follows %s, but names %s", id, t.name, want, r.prev)
	}
	if s.count == 0 {
		s.first = id
	}
	s.last = id
	s.count++
	s.bytes += uint64(len(id) + len(value))
	s.unindexed++
	if r.indexed {
		s.unindexed = 0
		if a.tx.Bucket(bucketSparse).Get(sparseKey(t.id, id)) == nil {
			a.problem("event %s of topic %s has no key in the sparse index", id, t.name)
		}
	}
	if string(r.typ) == store.TypeEnd {
		s.ended = id
	}
}

// counters compares the topics' records with the recount. The topic of a damaged record is not certain, so
// any topic may lack as many events as there are damaged records.
func (a *audit) counters() {
	for _, t := range a.topics {
		if err := store.ValidateTopic(t.name); err != nil {
			a.problem("topic record %d: %v", t.id, err)
		}
		w, s := t.next, t.visible
		missing := w.count - s.count
		if w.count < s.count || missing > uint64(len(a.Damaged)) {
			a.problem("topic %s counts %d events, %d were found", t.name, w.count, s.count)
			continue
		}
		if a.trimmed.Before(w.trimmed) {
			a.problem("topic %s was trimmed up to %s, the log only up to %s", t.name,
				w.trimmed, a.trimmed)
		}
		if s.count > 0 && !w.trimmed.Before(s.first) {
			a.problem("topic %s was trimmed up to %s, but has event %s", t.name, w.trimmed, s.first)
		}
		if len(a.Damaged) > 0 {
			continue // nothing more can be compared
		}
		want := s
		want.trimmed = w.trimmed
		if s.count == 0 || !w.trimmed.Before(w.first) {
			want.first = w.first // stale, or nothing to compare it with
		}
		if s.count == 0 {
			want.last = w.trimmed
		}
		if !w.ended.IsZero() && !w.trimmed.Before(w.ended) {
			want.ended = w.ended
		}
		if uint64(s.unindexed) == s.count && s.unindexed <= w.unindexed {
			want.unindexed = w.unindexed // the newest event with a sparse key was trimmed
		}
		if w != want || w.unindexed >= sparseEvery {
			a.problem(
				"topic %s: its record does not agree with its events: it has %s, found were %s",
				t.name, w, want)
		}
	}
}

// String describes the state, for problems.
func (s topicState) String() string {
	return fmt.Sprintf(
		"%d events of %d bytes from %s to %s, trimmed to %s, ended at %s, %d without a sparse key",
		s.count, s.bytes, s.first, s.last, s.trimmed, s.ended, s.unindexed)
}

// sparse looks for keys without an event; records has checked the other direction.
func (a *audit) sparse() {
	log := a.tx.Bucket(bucketLog)
	c := a.tx.Bucket(bucketSparse).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != 4+len(store.ID{}) || int(binary.BigEndian.Uint32(k)) >= len(a.topics) {
			a.problem("the key %.40x in the sparse index is invalid", k)
			continue
		}
		id := store.ID(k[4:])
		r, ok := decodeRecord(id[:], log.Get(id[:]))
		if !a.damaged[id] && (!ok || !r.indexed || r.topic != binary.BigEndian.Uint32(k)) {
			a.problem("the sparse index points to event %s of topic %s, which does not exist", id,
				a.topics[binary.BigEndian.Uint32(k)].name)
		}
	}
}

func (a *audit) keys() {
	c := a.tx.Bucket(bucketKeys).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		a.Keys++
		r, ok := decodeKey(k, v)
		if !ok {
			a.problem("the idempotency key of event %.40x is damaged", k)
		} else if r.Count == 0 || a.Head.Before(r.First) {
			a.problem("the idempotency key of event %s covers %d events up to the head %s", r.First,
				r.Count, a.Head)
		}
	}
}

func (a *audit) owners() {
	b := a.tx.Bucket(bucketOwners)
	if b == nil {
		return
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if _, ok := decodeOwner(k, v); !ok || len(k) != 4 ||
			int(binary.BigEndian.Uint32(k)) >= len(a.topics) {
			a.problem("the owner of topic %.40x is damaged", k)
		}
	}
}

func (a *audit) marks() {
	c := a.tx.Bucket(bucketMarks).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		a.Marks++
		subject, name, _ := bytes.Cut(k, []byte{0})
		if _, err := decodeMark(k, v); err != nil || len(name) == 0 {
			a.problem("the read mark %.300q of %.300q is damaged", name, subject)
		}
	}
}

func (a *audit) deliveries() {
	b := a.tx.Bucket(bucketDeliveries)
	if b == nil {
		return
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if bytes.IndexByte(k, 0) < 0 { // else it is a row beside a delivery
			a.Deliveries++
		}
		if d, ok := decodeDelivery(k, v); !ok {
			a.problem("the delivery %.300q is damaged", k)
		} else if a.Head.Before(d.ID) {
			a.problem("the delivery %.300q is at %s, the head is %s", k, d.ID, a.Head)
		}
	}
}

func (a *audit) epochs() {
	b := a.tx.Bucket(bucketEpochs)
	if b == nil {
		return
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		epoch, ok := unseal(k, v)
		if !ok || len(k) != len(store.ID{}) || len(epoch) != len(store.Epoch{}) && len(epoch) > 0 {
			a.problem("the epoch after %.40x is damaged", k)
		} else if !store.ID(k).Before(a.Head) {
			a.problem("the epoch after %s has no event: the head is %s", store.ID(k), a.Head)
		}
	}
}
