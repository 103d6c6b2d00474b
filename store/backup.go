package store

import (
	"io"
	"time"
)

// Manifest describes a backup, for a restore to compare it with.
type Manifest struct {
	Format uint32    `json:"format"`
	LogID  ID        `json:"log"` // of the log that was copied
	First  ID        `json:"first"`
	Last   ID        `json:"last"`
	Head   ID        `json:"head"` // the last ID that the backup knows of
	Events uint64    `json:"events"`
	Size   int64     `json:"size"`   // bytes
	SHA256 string    `json:"sha256"` // of these bytes, in hexadecimal
	Time   time.Time `json:"time"`   // when the copy began
}

// Backup is a finished copy of a log, to be read once, by one goroutine. A copy that is open is a
// backup being made: closing it, which may be done more than once, lets the next one begin.
type Backup struct {
	Manifest
	io.ReadCloser
}
