package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"tidings/store"
)

const stateSize = 1 + 8 + 8 + 4*16

// putTopic writes the topic's record from its next state.
func putTopic(b *bbolt.Bucket, t *topic) error {
	key := binary.BigEndian.AppendUint32(nil, t.id)
	v := make([]byte, sumSize, sumSize+stateSize+len(t.name))
	v = appendState(v, &t.next)
	v = append(v, t.name...)
	seal(key, v)
	return b.Put(key, v)
}

func appendState(v []byte, s *topicState) []byte {
	v = append(v, s.unindexed)
	v = binary.BigEndian.AppendUint64(v, s.count)
	v = binary.BigEndian.AppendUint64(v, s.bytes)
	v = append(v, s.first[:]...)
	v = append(v, s.last[:]...)
	v = append(v, s.trimmed[:]...)
	return append(v, s.ended[:]...)
}

func decodeTopic(key, value []byte) (*topic, bool) {
	v, ok := unseal(key, value)
	if !ok || len(key) != 4 || len(v) <= stateSize {
		return nil, false
	}
	return &topic{id: binary.BigEndian.Uint32(key), name: string(v[stateSize:]),
		next: decodeState(v)}, true
}

func decodeState(v []byte) topicState {
	return topicState{
		unindexed: v[0],
		count:     binary.BigEndian.Uint64(v[1:]),
		bytes:     binary.BigEndian.Uint64(v[9:]),
		first:     store.ID(v[17:33]),
		last:      store.ID(v[33:49]),
		trimmed:   store.ID(v[49:65]),
		ended:     store.ID(v[65:81]),
	}
}
