package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// ID is the place of an event in the log: a ULID, 48 bits of Unix milliseconds followed by 80 bits
// that make it unique. IDs sort as their bytes and as their text. The time of an event is the time in
// its ID. The zero ID lies before every event: reading after it reads from the start.
type ID [16]byte

// MaxID is the highest ID; no event is above it. Its time is in the year 6429.
var MaxID = ID{0: 0x7f, 1: 0xff, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff, 6: 0xff, 7: 0xff,
	8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}

// maxMilli is the time of MaxID in Unix milliseconds. A ULID could have twice that.
const maxMilli = 1<<47 - 1

// ErrBadID is returned by ParseID for text that is not a ULID.
var ErrBadID = errors.New("not a ULID: expected 26 characters of Crockford's base 32")

// ParseID reads the 26-character form, in upper or lower case. It checks every character, so that a
// damaged cursor is refused instead of becoming another position.
func ParseID(s string) (ID, error) {
	id, err := ulid.ParseStrict(strings.ToUpper(s))
	if err != nil {
		return ID{}, fmt.Errorf("%w, got %.64q", ErrBadID, s)
	}
	return ID(id), nil
}

// String returns the canonical upper-case form.
func (id ID) String() string { return ulid.ULID(id).String() }

// AppendText appends the canonical form to dst; it never fails (encoding.TextAppender).
func (id ID) AppendText(dst []byte) ([]byte, error) {
	var text [ulid.EncodedSize]byte
	_ = ulid.ULID(id).MarshalTextTo(text[:]) // fails only on a wrong length
	return append(dst, text[:]...), nil
}

// MarshalText returns the canonical form.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// IsZero reports whether id is the position before the first event.
func (id ID) IsZero() bool { return id == ID{} }

// Compare returns -1, 0 or +1 if id is before, at or after other in the log.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// Before reports whether id lies before other in the log.
func (id ID) Before(other ID) bool { return id.Compare(other) < 0 }

// Later returns the later of both.
func Later(a, b ID) ID {
	if a.Before(b) {
		return b
	}
	return a
}

// Time is the instant the ID was minted, to the millisecond, in UTC.
func (id ID) Time() time.Time { return ulid.Time(ulid.ULID(id).Time()).UTC() }

// Next is the lowest ID above id, with a carry into the time when the lower 80 bits are used up.
// It reports false for MaxID, which has none.
func (id ID) Next() (ID, bool) {
	if id.Compare(MaxID) >= 0 {
		return id, false
	}
	for i := len(id) - 1; ; i-- {
		id[i]++
		if id[i] != 0 {
			return id, true
		}
	}
}

// Prev is the highest ID below id. For the zero ID it is the zero ID.
func (id ID) Prev() ID {
	if id.IsZero() {
		return id
	}
	for i := len(id) - 1; ; i-- {
		id[i]--
		if id[i] != 0xff {
			return id
		}
	}
}

// FirstIDAt is the lowest ID of the millisecond of t, so that reading after FirstIDAt(t).Prev()
// returns what was committed at t or later. Times before 1970 give the zero ID, times after MaxID's give
// MaxID.
func FirstIDAt(t time.Time) ID {
	ms := t.UnixMilli()
	if ms < 0 {
		return ID{}
	}
	if ms > maxMilli {
		return MaxID
	}
	var id ulid.ULID
	_ = id.SetTime(uint64(ms)) // fails only above twice maxMilli
	return ID(id)
}

// Epoch is borne by the IDs that a log mints from one open to the next, and by one in four billion of
// all others. It distinguishes an event that was trimmed from one that never existed.
type Epoch [4]byte

// NewEpoch returns a random epoch, never zero.
func NewEpoch() (e Epoch) {
	for e == (Epoch{}) {
		_, _ = rand.Read(e[:]) // never fails
	}
	return e
}

// Mint is NewID for an ID that bears the epoch, as the 2^47 IDs after it do.
func (e Epoch) Mint(t time.Time) (ID, error) {
	id, err := NewID(t)
	copy(id[6:], e[:])
	id[10] &= 0x7f
	return id, err
}

// Bears reports whether id bears the epoch.
func (id ID) Bears(e Epoch) bool { return Epoch(id[6:10]) == e }

// NewID mints an ID with this time and 80 random bits; times before 1970 count as 1970. Times after
// MaxID's are an error.
func NewID(t time.Time) (ID, error) {
	ms := t.UnixMilli()
	if ms > maxMilli {
		return ID{}, fmt.Errorf("mint an ID: %s is after the last possible time", t.UTC().Format(time.RFC3339))
	}
	id, err := ulid.New(uint64(max(0, ms)), rand.Reader)
	if err != nil {
		return ID{}, fmt.Errorf("mint an ID: %w", err)
	}
	return ID(id), nil
}
