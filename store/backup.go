package store

import (
	"io"
	"time"
)

// Manifest describes a backup; a restore compares the backup with it.
type Manifest struct {
	Format uint32    `json:"format"`
	LogID  ID        `json:"log"` // of the copied log
	First  ID        `json:"first"`
	Last   ID        `json:"last"`
	Head   ID        `json:"head"` // the last ID that the backup knows
	Events uint64    `json:"events"`
	Size   int64     `json:"size"`   // bytes
	SHA256 string    `json:"sha256"` // of these bytes, in hexadecimal
	Time   time.Time `json:"time"`   // when the copy began
}

// Backup is a finished copy of a log, to be read once, by one goroutine. While it is open it counts as
// the backup being made: Close lets the next one begin, and may be called more than once.
type Backup struct {
	Manifest
	io.ReadCloser
}
