package bolt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
)

// parser decodes a value as docs/FORMAT.md draws it.
type parser struct {
	t    *testing.T
	what string
	rest []byte
}

// unsealed checks the checksum of key and payload.
func unsealed(t *testing.T, bucket string, key, value []byte) *parser {
	t.Helper()
	what := fmt.Sprintf("%s %x", bucket, key)
	sum := crc32.Checksum(append(bytes.Clone(key), value[4:]...), crc32.MakeTable(crc32.Castagnoli))
	if got := binary.BigEndian.Uint32(value); got != sum {
		t.Fatalf("%s: checksum %08x, want %08x", what, got, sum)
	}
	return &parser{t, what, bytes.Clone(value[4:])}
}

func (p *parser) take(n uint64) []byte {
	p.t.Helper()
	if uint64(len(p.rest)) < n {
		p.t.Fatalf("%s: %d bytes left, want %d", p.what, len(p.rest), n)
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) id() store.ID    { return store.ID(p.take(16)) }
func (p *parser) byte() byte      { return p.take(1)[0] }
func (p *parser) uint32() uint32  { return binary.BigEndian.Uint32(p.take(4)) }
func (p *parser) uint64() uint64  { return binary.BigEndian.Uint64(p.take(8)) }
func (p *parser) short() string   { return string(p.take(uint64(p.byte()))) }
func (p *parser) uvarint() uint64 { n, w := binary.Uvarint(p.rest); p.take(uint64(w)); return n }

func (p *parser) end() {
	p.t.Helper()
	if len(p.rest) > 0 {
		p.t.Fatalf("%s: %d bytes too many: %x", p.what, len(p.rest), p.rest)
	}
}

// TestFormat reads a file as another program would, by docs/FORMAT.md, and finds what was appended.
func TestFormat(t *testing.T) {
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	rich := store.Draft{Topic: "rich", Type: "order.created", ContentType: "application/json",
		Data: []byte(`{"order":1}`),
		Attributes: []store.Attribute{{Name: "source", Value: "/shop"},
			{Name: "long", Value: string(make([]byte, 300))}}}
	group := store.Group{Key: "once", Owner: "shop",
		Drafts: []store.Draft{rich, {Topic: "a", Data: []byte("plain")}}}
	results, err := log.AppendOnce(context.Background(), []store.Group{group})
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 600, "a", "b")
	appendAll(t, log, store.Draft{Topic: "b", Type: store.TypeEnd, Data: []byte(`{"topic":"b"}`)})
	events, _ := drain(t, log, store.All(), store.ID{}, 1000)
	if len(events) != 603 {
		t.Fatalf("%d events, want 603", len(events))
	}
	before := events[301].ID
	if _, err := log.Trim(context.Background(), filterOf(t, "a"), before); err != nil {
		t.Fatal(err)
	}
	mark := store.Mark{ID: before, Topics: filterOf(t, "b", "a.*")}
	if _, err := log.SetMark(context.Background(), "subject", "inbox", mark); err != nil {
		t.Fatal(err)
	}
	topics, logID, head, trimmed := slices.Collect(log.Topics(store.All())), log.LogID(),
		log.Head(), log.Trimmed()
	secret := log.Secret()
	closeLog(t, log)

	db, err := bbolt.Open(logFile(dir), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		checkMetaFormat(t, tx, map[string]string{"format": "\x00\x00\x00\x01",
			"log": string(logID[:]), "head": string(head[:]),
			"trimmed": string(trimmed[:]), "checkpoint": string(head[:]), "suspects": "",
			"secret": string(secret[:])})
		checkEpochFormat(t, tx, events[0].ID)
		checkTopicFormat(t, tx, topics)
		checkLogFormat(t, tx, events, filterOf(t, "a"), before)
		checkKeyFormat(t, tx, group, results[0].IDs)
		checkOwnerFormat(t, tx, "shop", 2) // rich and a
		checkMarkFormat(t, tx, "subject\x00inbox", before, "a.* b")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkMetaFormat(t *testing.T, tx *bbolt.Tx, want map[string]string) {
	got := make(map[string]string)
	tx.Bucket([]byte("meta")).ForEach(func(k, v []byte) error {
		got[string(k)] = string(unsealed(t, "meta", k, v).rest)
		return nil
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("meta: %s", diff)
	}
}

// checkEpochFormat: the log was opened once, and all its events bear that epoch.
func checkEpochFormat(t *testing.T, tx *bbolt.Tx, event store.ID) {
	var zero store.ID
	got := make(map[string]string)
	tx.Bucket([]byte("epochs")).ForEach(func(k, v []byte) error {
		got[string(k)] = string(unsealed(t, "epochs", k, v).rest)
		return nil
	})
	if diff := cmp.Diff(map[string]string{string(zero[:]): string(event[6:10])}, got); diff != "" {
		t.Errorf("epochs: %s", diff)
	}
}

func checkTopicFormat(t *testing.T, tx *bbolt.Tx, want []store.TopicInfo) {
	byName := make(map[string]store.TopicInfo)
	for _, info := range want {
		byName[info.Topic] = info
	}
	next := uint32(0)
	tx.Bucket([]byte("topics")).ForEach(func(k, v []byte) error {
		if n := binary.BigEndian.Uint32(k); len(k) != 4 || n != next {
			t.Errorf("topic key %x, want %08x", k, next)
		}
		next++
		p := unsealed(t, "topics", k, v)
		unindexed := p.byte()
		got := store.TopicInfo{Count: p.uint64(), Bytes: p.uint64(), First: p.id(), Last: p.id(),
			Trimmed: p.id(), Ended: p.id()}
		got.Topic = string(p.rest)
		want := byName[got.Topic]
		if !got.Trimmed.Before(got.First) {
			got.First = want.First // stale
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("topic %d: %s", next-1, diff)
		}
		if appended := map[string]byte{"rich": 1, "a": 301 % 128,
			"b": 301 % 128}[got.Topic]; unindexed != appended {
			t.Errorf("topic %q: %d events without a sparse key, want %d", got.Topic,
				unindexed, appended)
		}
		return nil
	})
	if int(next) != len(want) {
		t.Errorf("%d topics, want %d", next, len(want))
	}
}

// checkLogFormat compares the records with the events, of which those of f before the ID are trimmed, and the
// chains and the sparse keys with all events that ever existed.
func checkLogFormat(t *testing.T, tx *bbolt.Tx, events []store.Event, f store.Filter,
	before store.ID) {
	topics, log, sparse := tx.Bucket([]byte("topics")), tx.Bucket([]byte("log")),
		tx.Bucket([]byte("sparse"))
	records, keys := 0, 0
	prev, count := make(map[string]store.ID), make(map[string]int)
	for _, e := range events {
		count[e.Topic]++
		indexed := count[e.Topic]%128 == 0
		was := prev[e.Topic]
		prev[e.Topic] = e.ID
		v := log.Get(e.ID[:])
		if f.Match(e.Topic) && e.ID.Before(before) {
			if v != nil {
				t.Errorf("%s is still there", e.ID)
			}
			continue
		}
		records++
		p := unsealed(t, "log", e.ID[:], v)
		if version, flags := p.byte(), p.byte(); version != 1 || flags > 1 ||
			(flags == 1) != indexed {
			t.Errorf("%s: version %d, flags %d, want 1 and whether it is a 128th event: %t",
				e.ID, version, flags, indexed)
		}
		topic := p.take(4)
		name := string(unsealed(t, "topics", topic, topics.Get(topic)).rest[81:])
		if id := p.id(); id != was {
			t.Errorf("%s: previous event %s, want %s", e.ID, id, was)
		}
		got := store.Event{ID: e.ID, Topic: name, Type: p.short(), ContentType: p.short()}
		attributes := &parser{t, p.what, p.take(p.uvarint())}
		for len(attributes.rest) > 0 {
			a := store.Attribute{Name: attributes.short()}
			a.Value = string(attributes.take(attributes.uvarint()))
			got.Attributes = append(got.Attributes, a)
		}
		got.Data = p.rest
		if got.Type == "" {
			got.Type = "message"
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s: %s", e.ID, diff)
		}
		if indexed {
			keys++
			if sparse.Get(append(topic, e.ID[:]...)) == nil {
				t.Errorf("%s has no sparse key", e.ID)
			}
		}
	}
	if n, m := log.Stats().KeyN, sparse.Stats().KeyN; n != records || m != keys {
		t.Errorf("%d records and %d sparse keys, want %d and %d", n, m, records, keys)
	}
}

func checkMarkFormat(t *testing.T, tx *bbolt.Tx, key string, id store.ID, topics string) {
	p := unsealed(t, "marks", []byte(key), tx.Bucket([]byte("marks")).Get([]byte(key)))
	if gotID, gotTopics := p.id(), string(p.rest); gotID != id || gotTopics != topics {
		t.Errorf("mark of %s in %q, want %s in %q", gotID, gotTopics, id, topics)
	}
}

// checkOwnerFormat expects the owner on the first topics; the others have none.
func checkOwnerFormat(t *testing.T, tx *bbolt.Tx, owner string, topics int) {
	want := sha256.Sum256([]byte(owner))
	b := tx.Bucket([]byte("owners"))
	for number := range topics {
		key := binary.BigEndian.AppendUint32(nil, uint32(number))
		p := unsealed(t, "owners", key, b.Get(key))
		if got := p.take(6); !bytes.Equal(got, want[:6]) {
			t.Errorf("owner of topic %d: %x, want %x", number, got, want[:6])
		}
		p.end()
	}
	if n := b.Stats().KeyN; n != topics {
		t.Errorf("%d topics have an owner, want %d", n, topics)
	}
}

func checkKeyFormat(t *testing.T, tx *bbolt.Tx, group store.Group, ids []store.ID) {
	fingerprint := sha256.New()
	for _, d := range group.Drafts {
		for _, field := range []string{d.Topic, d.Type, d.ContentType, string(d.Data)} {
			fingerprint.Write(append(binary.BigEndian.AppendUint64(nil,
				uint64(len(field))), field...))
		}
	}
	owner, key := sha256.Sum256([]byte(group.Owner)), sha256.Sum256([]byte(group.Key))
	hash := append(owner[:6:6], key[:10]...)
	p := unsealed(t, "keys", ids[0][:], tx.Bucket([]byte("keys")).Get(ids[0][:]))
	if got := p.take(16); !bytes.Equal(got, hash) {
		t.Errorf("hash %x, want %x", got, hash)
	}
	if got, want := p.take(16), fingerprint.Sum(nil)[:16]; !bytes.Equal(got, want) {
		t.Errorf("fingerprint %x, want %x", got, want)
	}
	if got := p.uint32(); int(got) != len(ids) {
		t.Errorf("count %d, want %d", got, len(ids))
	}
	p.end()
}
