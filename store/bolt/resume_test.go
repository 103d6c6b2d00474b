package bolt_test

import (
	"encoding/binary"
	"os"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
)

// TestResumeReadsNothingBefore: a resume costs the same however long the log is: it reads no page that holds only
// events from before its cursor. Those pages are erased meanwhile.
func TestResumeReadsNothingBefore(t *testing.T) {
	const events, missed = 8000, 1000
	topics := []string{"orders.eu", "orders.us", "bills.eu", "bills.us"}
	dir := t.TempDir()
	log := openAt(t, dir, bolt.Options{})
	all := appendN(t, log, events, topics...)
	// A topic finds its place by an index with every 128th of its events.
	erase(t, logFile(dir), all[events-missed-128*len(topics)].ID)
	cursor := all[events-missed-1].ID
	for name, c := range map[string]struct {
		filter store.Filter
		want   int
	}{
		"a topic":    {filterOf(t, "orders.eu"), missed / 4},
		"a wildcard": {filterOf(t, "*.eu"), missed / 2},
		"everything": {store.All(), missed},
	} {
		found := 0
		for r, page := log.NewReader(c.filter, cursor), (store.Page{}); page.Through != log.Head(); {
			page = read(t, r)
			found += len(page.Events)
		}
		if found != c.want {
			t.Errorf("%s: found %d events, want %d", name, found, c.want)
		}
	}
}

// erase erases the pages with nothing but events before the given one, and restores them before the log is closed.
func erase(t *testing.T, path string, before store.ID) {
	t.Helper()
	const size, header, leaf = 4096, 16, 2
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	write := func(page []byte, at int64) {
		if _, err := file.WriteAt(page, at); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { file.Close() })
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	erased := 0
	for at := 0; at < len(whole); at += size {
		page := whole[at : at+size]
		count := int(binary.NativeEndian.Uint16(page[10:]))
		if binary.NativeEndian.Uint16(page[8:]) != leaf || count == 0 {
			continue
		}
		last := page[header+(count-1)*16:]
		pos, key := binary.NativeEndian.Uint32(last[4:]), binary.NativeEndian.Uint32(last[8:])
		if key != uint32(len(store.ID{})) || !store.ID(last[pos:pos+key]).Before(before) {
			continue
		}
		erased++
		write(make([]byte, size), int64(at))
		t.Cleanup(func() { write(page, int64(at)) })
	}
	if erased < 100 {
		t.Fatalf("%d pages of older events", erased)
	}
}
