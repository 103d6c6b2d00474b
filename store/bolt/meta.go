package bolt

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// The format of a file is raised when an older release could misread it.
const (
	formatPlain   = 1
	formatJournal = 2 // while there is a journal
	formatNewest  = formatJournal
)

// Keys of the meta bucket. Each value is sealed like a record.
const (
	metaFormat     = "format"     // uint32
	metaLogID      = "log"        // ID
	metaHead       = "head"       // ID, written by every commit
	metaTrimmed    = "trimmed"    // ID
	metaCheckpoint = "checkpoint" // ID
	metaSuspects   = "suspects"   // IDs, written with the checkpoint
	metaSecret     = "secret"     // 32 bytes; not in a log that only an older release has opened
)

func putMeta(tx *bbolt.Tx, key string, payload []byte) error {
	v := append(make([]byte, sumSize, sumSize+len(payload)), payload...)
	seal([]byte(key), v)
	return tx.Bucket(bucketMeta).Put([]byte(key), v)
}

func putFormat(tx *bbolt.Tx, format uint32) error {
	return putMeta(tx, metaFormat, binary.BigEndian.AppendUint32(nil, format))
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

// getSecret returns the secret of the log, and whether it is in the file; else it is a new one.
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
