package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// A log that is closed cleanly has a list of its free pages, which bbolt reads at the next open instead of
// walking through the whole file, and beside it a note: the SHA-256 of the meta page and the list. bbolt
// itself has no checksum of the list, and a page that is wrongly listed as free is lost. The first commit of
// the next open invalidates the note. Without a matching note everything is checked.

// Offsets in a meta page, as bbolt writes it.
const (
	metaEnd      = pageHeader + 64 // with its own checksum, of 8 bytes
	metaFreeList = pageHeader + 32
	metaTx       = pageHeader + 48
	flagFreeList = 0x10
	noFreeList   = ^uint64(0)
)

// freeList reads the list of free pages, and counts those pages and the list itself as seen. It returns the
// bytes that the note covers, the transaction's meta page and the list; nil when there is no list.
func (p *pages) freeList(tx int) ([]byte, error) {
	meta := make([]byte, p.size)
	if _, err := p.handle.ReadAt(meta, int64(uint64(tx)%2*p.size)); err != nil {
		return nil, err
	}
	id := binary.NativeEndian.Uint64(meta[metaFreeList:])
	if binary.NativeEndian.Uint64(meta[metaTx:]) != uint64(tx) || id == noFreeList {
		return nil, nil
	}
	page, err := p.read(id)
	if err != nil {
		return nil, fmt.Errorf("the list of free pages: %w", err)
	}
	if err := p.freePages(page); err != nil {
		return nil, fmt.Errorf("the list of free pages, page %d: %w", id, err)
	}
	return append(meta[:metaEnd], page...), nil
}

// freePages reads a list: increasing IDs of 8 bytes. The page's count holds at most 65,534; a larger count is
// the first element.
func (p *pages) freePages(page []byte) error {
	if binary.NativeEndian.Uint16(page[8:]) != flagFreeList {
		return errors.New("it is none")
	}
	ids, n := page[pageHeader:], uint64(binary.NativeEndian.Uint16(page[10:]))
	if n == 0xFFFF {
		n, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids))/8 {
		return errors.New("it is cut short")
	}
	for ; p.listed < n; p.listed++ {
		free := binary.NativeEndian.Uint64(ids[p.listed*8:])
		if free < 2 || free >= p.used || p.seen[free] {
			return fmt.Errorf("page %d does not exist, or is listed twice", free)
		}
		p.seen[free] = true
	}
	return nil
}

func closingNote(list []byte) string { return fmt.Sprintf("%x\n", sha256.Sum256(list)) }

// closedNote returns the note of the last close, "" if there is none.
func (d *dir) closedNote() string {
	note, err := os.ReadFile(d.file(closedName))
	if err != nil {
		return ""
	}
	return string(note)
}

// leaveNote writes the note of a clean close, after the last commit. It need not reach the disk: without it
// the next open only takes longer.
func (l *Log) leaveNote() error {
	var p pages
	var list []byte
	err := l.read(func(tx *bbolt.Tx) (err error) {
		p.take(tx, l.handle)
		list, err = p.freeList(tx.ID())
		return err
	})
	if err != nil || list == nil {
		return err
	}
	f, err := l.dir.create(closedName)
	if err != nil {
		return err
	}
	_, err = f.WriteString(closingNote(list))
	return errors.Join(err, f.Close())
}
