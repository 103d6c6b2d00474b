package wire

import "tidings/store"

// ParseEntry reads any line.
var ParseEntry = parseEntry

// PlainEntry reads a line as most are.
func PlainEntry(line []byte, maxData int64) (store.Draft, bool) {
	return newLineReader(maxData).plain(line)
}
