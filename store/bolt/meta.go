package bolt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// The format of a file is raised when an older release could misread it.
const (
	formatPlain   = 1
	formatJournal = 2 // while there is a journal
	formatMirror  = 3 // with a place, and perhaps a journal
	formatNewest  = formatMirror
)

// Keys of the meta bucket. Each value is sealed like a record.
const (
	metaFormat     = "format"     // uint32
	metaLogID      = "log"        // ID
	metaHead       = "head"       // ID, written by every commit
	metaTrimmed    = "trimmed"    // ID
	metaCheckpoint = "checkpoint" // ID
	metaSuspects   = "suspects"   // IDs, written with the checkpoint
	metaSecret     = "secret"     // 32 bytes; absent from a log that only an older release has opened
	metaPlace      = "place"      // of a mirror: how far it has come; written by every commit
)

func putMeta(tx *bbolt.Tx, key string, payload []byte) error {
	name, v := []byte(key), append(make([]byte, sumSize, sumSize+len(payload)), payload...)
	seal(name, v)
	return tx.Bucket(bucketMeta).Put(name, v)
}

// putFormat sets the format of the file: a mirror's, or one that depends on the journal alone.
func putFormat(tx *bbolt.Tx) error {
	format := uint32(formatPlain)
	switch {
	case tx.Bucket(bucketMeta).Get([]byte(metaPlace)) != nil:
		format = formatMirror
	case tx.Bucket(bucketJournal) != nil:
		format = formatJournal
	}
	return putMeta(tx, metaFormat, binary.BigEndian.AppendUint32(nil, format))
}

const placeSize = 8 + len(store.Place{}.Chain)

func encodePlace(p store.Place) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, placeSize), p.Number), p.Chain[:]...)
}

// getPlace returns how far a mirror has come, and whether the file is a mirror.
func getPlace(tx *bbolt.Tx) (p store.Place, mirror bool, err error) {
	if tx.Bucket(bucketMeta).Get([]byte(metaPlace)) == nil {
		return p, false, nil
	}
	v, err := getMeta(tx, metaPlace)
	if err == nil && len(v) != placeSize {
		err = fmt.Errorf("metadata %q has %d bytes, expected %d", metaPlace, len(v), placeSize)
	}
	if err != nil {
		return p, true, err
	}
	return store.Place{Number: binary.BigEndian.Uint64(v), Chain: [16]byte(v[8:])}, true, nil
}

// makeMirror makes the log in the file a mirror of the log with the given ID, starting at its beginning.
func makeMirror(tx *bbolt.Tx, id store.ID) error {
	return errors.Join(putMeta(tx, metaLogID, id[:]), putMeta(tx, metaPlace, encodePlace(store.Place{})),
		putFormat(tx))
}

// makeOrdinary makes the log in the file an ordinary log with the given identity.
func makeOrdinary(tx *bbolt.Tx, id store.ID) error {
	return errors.Join(putMeta(tx, metaLogID, id[:]), tx.Bucket(bucketMeta).Delete([]byte(metaPlace)),
		putFormat(tx))
}

func getMeta(tx *bbolt.Tx, key string) ([]byte, error) {
	payload, ok := unseal([]byte(key), tx.Bucket(bucketMeta).Get([]byte(key)))
	if !ok {
		return nil, fmt.Errorf("metadata %q is missing or damaged", key)
	}
	return payload, nil
}

func getMetaID(tx *bbolt.Tx, key string) (store.ID, error) {
	v, err := getMeta(tx, key)
	if err == nil && len(v) != len(store.ID{}) {
		err = fmt.Errorf("metadata %q has %d bytes, expected %d", key, len(v), len(store.ID{}))
	}
	if err != nil {
		return store.ID{}, err
	}
	return store.ID(v), nil
}

// getSecret returns the secret of the log, and whether the file has it; if not, the secret is new.
func getSecret(tx *bbolt.Tx) (secret [32]byte, kept bool, err error) {
	if tx.Bucket(bucketMeta).Get([]byte(metaSecret)) == nil {
		_, _ = rand.Read(secret[:]) // never fails
		return secret, false, nil
	}
	v, err := getMeta(tx, metaSecret)
	if err == nil && len(v) != len(secret) {
		err = fmt.Errorf("metadata %q has %d bytes, expected %d", metaSecret, len(v), len(secret))
	}
	if err != nil {
		return secret, true, err
	}
	return [32]byte(v), true, nil
}
