package bolt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// pages walks all pages of a bbolt file that are in use, without bbolt, which follows a damaged pointer
// wherever it leads and, when it opens a file for writing, does so in its own goroutine, where a fault ends
// the process.
//
//	page     id 8, flags 2, count 2, overflow 4, elements, and the keys and values that they point to
//	branch   pos 4, key size 4, page 8
//	leaf     flags 4, pos 4, key size 4, value size 4       pos counts from the element
//
// in the machine's byte order.
type pages struct {
	closed string               // the note of the last close, if there is one
	step   func(done int) error // called after at least every stepPages pages, unless nil

	handle  *os.File
	file    ahead
	size    uint64        // of a page
	used    uint64        // pages
	seen    []bool        // in use or free
	done    int           // pages read
	beside  *atomic.Int64 // pages read by the other walk; nil if there is none
	tx      uint64        // the transaction that wrote the file
	hasList bool          // it has a list of its free pages
	listed  uint64        // free pages in it
	quick   bool          // the older events are left for later
	edge    bool          // the bucket being walked is the log's
	later   []subtree

	entries uint64 // in buckets, so far
	events  uint64 // in the log bucket, so far
}

// subtree is a part of the log's tree that is checked later: a page, and the bounds of its keys.
type subtree struct {
	id        uint64
	low, high []byte
}

// stepPages is 1 MiB with bbolt's usual pages: about a millisecond of work.
const stepPages = 256

const (
	pageHeader    = 16
	pageElement   = 16
	flagBranch    = 0x01
	flagLeaf      = 0x02
	elementBucket = 0x01
)

// check returns an error if a page is not as bbolt needs it: each in one place, in bounds, its keys in order
// and within those of its parent, buckets only at the root, and none of them in the list of free pages, if
// the file has one. After a clean close it leaves the older events to rest; otherwise two walks share them.
// The file stays open until close.
func (p *pages) check(tx *bbolt.Tx) (err error) {
	file, err := os.Open(tx.DB().Path())
	if err != nil {
		return err
	}
	p.take(tx, file)
	list, err := p.freeList(tx.ID())
	if err != nil {
		return err
	}
	p.hasList = list != nil
	p.quick = p.hasList && p.closed == closingNote(list)
	if err := p.tree(uint64(tx.Cursor().Bucket().Root()), nil, nil, true); err != nil || p.quick {
		return err
	}
	return p.share()
}

// take starts on the file of the transaction.
func (p *pages) take(tx *bbolt.Tx, file *os.File) {
	p.handle, p.size = file, uint64(tx.DB().Info().PageSize)
	p.used, p.tx = uint64(tx.Size())/p.size, uint64(tx.ID())
	p.file = ahead{file: file, size: uint64(tx.Size())}
	p.seen = make([]bool, p.used)
}

// rest checks what check has left for later.
func (p *pages) rest() error {
	defer func() { p.later = nil }()
	return p.subtrees(p.later, new(atomic.Int64))
}

// subtrees checks the remaining subtrees, claiming each by adding to taken.
func (p *pages) subtrees(left []subtree, taken *atomic.Int64) error {
	for i := taken.Add(1); int(i) <= len(left); i = taken.Add(1) {
		t := &left[i-1]
		if err := p.records(func() error { return p.tree(t.id, t.low, t.high, false) }); err != nil {
			return err
		}
	}
	return nil
}

// share is rest by two walks, each on a processor of its own, because the open of a large log waits for the
// check.
func (p *pages) share() error {
	left, taken := p.later, new(atomic.Int64)
	p.later, p.beside = nil, new(atomic.Int64)
	other := &pages{handle: p.handle, size: p.size, used: p.used, seen: make([]bool, p.used),
		file: ahead{file: p.handle, size: p.file.size}}
	other.step = func(done int) error {
		p.beside.Store(int64(done))
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- other.guarded(left, taken) }()
	err := p.guarded(left, taken)
	if err := cmp.Or(<-ended, err); err != nil {
		return err
	}
	for id, seen := range other.seen {
		if seen && p.seen[id] {
			return fmt.Errorf("page %d is used twice", id)
		}
		p.seen[id] = p.seen[id] || seen
	}
	p.done, p.beside = p.done+other.done, nil
	p.entries, p.events = p.entries+other.entries, p.events+other.events
	return nil
}

// guarded is subtrees with a panic returned as an error.
func (p *pages) guarded(left []subtree, taken *atomic.Int64) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("%v", panicked)
		}
	}()
	return p.subtrees(left, taken)
}

// records counts the entries that check finds as events.
func (p *pages) records(check func() error) error {
	before := p.entries
	err := check()
	p.events += p.entries - before
	return err
}

// free returns how many bytes of the pages are unused.
func (p *pages) free() uint64 {
	n := p.listed
	if !p.quick {
		for _, seen := range p.seen[2:] { // after the meta pages
			if !seen {
				n++
			}
		}
	}
	return n * p.size
}

func (p *pages) close() error {
	if p.handle == nil {
		return nil
	}
	return p.handle.Close()
}

// tree checks the page with the given id and everything below it. Keys are at least low and, unless it is
// nil, below high.
func (p *pages) tree(id uint64, low, high []byte, root bool) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	if root || isBranch(page) {
		page = bytes.Clone(page) // other pages are read before this one is finished
	}
	if err := p.page(page, low, high, root); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// read returns a page, which is valid until the next call.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < 2 || id >= p.used {
		return nil, fmt.Errorf("page %d does not exist", id)
	}
	page, err := p.file.read(id*p.size, p.size)
	if err != nil {
		return nil, err
	}
	n := 1 + uint64(binary.NativeEndian.Uint32(page[12:]))
	if binary.NativeEndian.Uint64(page) != id || id+n > p.used {
		return nil, fmt.Errorf("page %d has another page's number", id)
	}
	for i := id; i < id+n; i++ {
		if p.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		p.seen[i] = true
	}
	if p.done++; p.done%stepPages == 0 && p.step != nil {
		done := p.done
		if p.beside != nil {
			done += int(p.beside.Load())
		}
		if err := p.step(done); err != nil {
			return nil, err
		}
	}
	if n > 1 {
		return p.file.read(id*p.size, n*p.size)
	}
	return page, nil
}

func (p *pages) page(page, low, high []byte, root bool) error {
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if flags != flagBranch && flags != flagLeaf || pageHeader+count*pageElement > len(page) ||
		flags == flagBranch && count == 0 {
		return errors.New("it is neither a branch nor a leaf")
	}
	var previous []byte
	for i := range count {
		e := page[pageHeader+i*pageElement:]
		key, value, ok := element(e, flags)
		if !ok {
			return fmt.Errorf("its element %d is out of bounds", i)
		}
		if i > 0 && bytes.Compare(previous, key) >= 0 || i == 0 && bytes.Compare(key, low) < 0 ||
			i+1 == count && high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("its keys are out of order at %d", i)
		}
		previous = key
		var err error
		switch isBucket := flags == flagLeaf && binary.NativeEndian.Uint32(e)&elementBucket != 0; {
		case flags == flagBranch:
			err = p.branch(page, i, key, high, root)
		case isBucket != root:
			err = errors.New("a bucket is out of place")
		case isBucket:
			err = p.named(key, value)
		default:
			p.entries++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// branch checks what element i of a branch leads to.
func (p *pages) branch(page []byte, i int, key, high []byte, root bool) error {
	last := i+1 == int(binary.NativeEndian.Uint16(page[10:]))
	if !last {
		var err error
		if high, err = branchKey(page, i+1); err != nil {
			return err
		}
	}
	id := binary.NativeEndian.Uint64(page[pageHeader+i*pageElement+8:])
	if p.edge && !last {
		p.later = append(p.later, subtree{id, key, high})
		return nil
	}
	return p.tree(id, key, high, root)
}

func isBranch(page []byte) bool {
	return binary.NativeEndian.Uint16(page[8:]) == flagBranch
}

// element returns what an element of a page points to.
func element(e []byte, flags uint16) (key, value []byte, ok bool) {
	pos, keySize, valueSize := binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]),
		uint32(0)
	if flags == flagLeaf {
		pos, keySize, valueSize = keySize, binary.NativeEndian.Uint32(e[8:]),
			binary.NativeEndian.Uint32(e[12:])
	}
	if uint64(pos)+uint64(keySize)+uint64(valueSize) > uint64(len(e)) || keySize == 0 {
		return nil, nil, false
	}
	return e[pos : pos+keySize], e[pos+keySize : pos+keySize+valueSize], true
}

func branchKey(page []byte, i int) ([]byte, error) {
	e := page[pageHeader+i*pageElement:]
	pos, size := uint64(binary.NativeEndian.Uint32(e)), uint64(binary.NativeEndian.Uint32(e[4:]))
	if pos+size > uint64(len(e)) {
		return nil, fmt.Errorf("its element %d is out of bounds", i)
	}
	return e[pos : pos+size], nil
}

// named checks the bucket with that name. Of the log's older events it only records the pages.
func (p *pages) named(name, value []byte) error {
	if !bytes.Equal(name, bucketLog) {
		return p.bucket(value)
	}
	p.edge = true
	defer func() { p.edge = false }()
	return p.records(func() error { return p.bucket(value) })
}

// bucket checks a bucket: its root page 8, a sequence 8 and, if it has no page of its own, a small page
// inline.
func (p *pages) bucket(value []byte) error {
	if len(value) < 16 {
		return errors.New("a bucket has no root")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return p.tree(root, nil, nil, false)
	}
	if inline := value[16:]; len(inline) >= pageHeader &&
		binary.NativeEndian.Uint16(inline[8:]) == flagLeaf {
		return p.page(inline, nil, nil, false)
	}
	return errors.New("a bucket has no page")
}
