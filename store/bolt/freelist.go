package bolt

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
)

// More offsets in a meta page.
const (
	metaPages    = pageHeader + 40
	metaChecksum = pageHeader + 56
)

// saveFreeList writes a list of the free pages into the file after a check that found them all, so that
// bbolt, which is opened next, need not walk through the whole file again. It proceeds like a bbolt commit:
// once the list is on disk, a meta page that points to it replaces the older one. A crash leaves the file
// with or without the list. An error only means that there is no list; the file is as intact as before.
//
// The list goes after the last page, not into free pages: the last run's last meta page may not be on disk,
// and then a machine crash brings back the previous one, which uses some of those pages.
func (p *pages) saveFreeList(path string) (err error) {
	if p.quick || p.hasList {
		return nil
	}
	f, err := openFile(path, os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := lockAlone(f); err != nil {
		return err
	}
	meta, other := make([]byte, p.size), make([]byte, p.size)
	for slot, page := range map[uint64][]byte{p.tx % 2: meta, (p.tx + 1) % 2: other} {
		if _, err := f.ReadAt(page, int64(slot*p.size)); err != nil {
			return err
		}
	}
	if binary.NativeEndian.Uint64(meta[metaTx:]) != p.tx || binary.NativeEndian.Uint64(other[metaTx:]) > p.tx {
		return errors.New("another transaction has begun") // or was interrupted as it ended
	}
	list := p.listFree()
	if _, err := f.WriteAt(list, int64(p.used*p.size)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	tx := p.tx + 1
	binary.NativeEndian.PutUint64(meta, tx%2)
	binary.NativeEndian.PutUint64(meta[metaFreeList:], p.used)
	binary.NativeEndian.PutUint64(meta[metaPages:], p.used+uint64(len(list))/p.size)
	binary.NativeEndian.PutUint64(meta[metaTx:], tx)
	sum := fnv.New64a()
	_, _ = sum.Write(meta[pageHeader:metaChecksum])
	binary.NativeEndian.PutUint64(meta[metaChecksum:], sum.Sum64())
	if _, err := f.WriteAt(meta, int64(tx%2*p.size)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	p.tx = tx
	return nil
}

// listFree returns the pages of the list of free pages, which lie after the last page of the file.
func (p *pages) listFree() []byte {
	free := make([]uint64, 0, p.free()/p.size)
	for id := uint64(2); id < p.used; id++ {
		if !p.seen[id] {
			free = append(free, id)
		}
	}
	n := (pageHeader + 8*(1+uint64(len(free))) + p.size - 1) / p.size
	list := make([]byte, pageHeader, n*p.size)
	binary.NativeEndian.PutUint64(list, p.used)
	binary.NativeEndian.PutUint16(list[8:], flagFreeList)
	binary.NativeEndian.PutUint32(list[12:], uint32(n-1))
	if len(free) < 0xFFFF {
		binary.NativeEndian.PutUint16(list[10:], uint16(len(free)))
	} else {
		binary.NativeEndian.PutUint16(list[10:], 0xFFFF)
		list = binary.NativeEndian.AppendUint64(list, uint64(len(free)))
	}
	for _, id := range free {
		list = binary.NativeEndian.AppendUint64(list, id)
	}
	return list[:n*p.size]
}
