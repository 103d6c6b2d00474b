package commit

import (
	"encoding/binary"
	"hash/crc32"
)

// Seal puts the version and the correct checksum before the rest of a commit's bytes.
func Seal(rest []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{version}, crc32.Checksum(rest, castagnoli))
	return append(b, rest...)
}
