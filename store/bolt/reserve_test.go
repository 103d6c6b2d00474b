package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// TestDiskTaken: while 16 publishers append, something else fills the disk to the last block. Trimming works
// all the same, and makes room to publish, also after a restart, which needs no room, and repeatedly; nothing
// acknowledged is lost, and nothing else is stored.
func TestDiskTaken(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		for name, floor := range map[string]uint64{"without a floor": 0, "with a floor": 1 << 20} {
			t.Run(kind+" "+name, func(t *testing.T) {
				disk := smallDisk(t, kind)
				dir := filepath.Join(disk, "data")
				o := bolt.Options{MinFree: func(uint64) uint64 { return floor }}
				log := openAt(t, dir, o)
				events := manyTopics(t, log)
				for range 10 {
					events = append(events, appendAll(t, log, slices.Repeat(
						[]store.Draft{{Topic: "a", Data: make([]byte, 500)}}, 200)...)...)
				}
				trimmed := 0
				for round := range 4 {
					took := make(chan struct{})
					go func() {
						defer close(took)
						takeDisk(t, filepath.Join(disk, "other"))
					}()
					fresh := publishUntilFull(t, log, 500)
					<-took
					fresh = append(fresh, publishUntilFull(t, log, 500)...)
					takeDisk(t, filepath.Join(disk, "other"))
					fresh = append(fresh, publishSmall(t, log)...)
					if len(fresh) < trimmed/3 {
						t.Errorf("only %d events fit after %d were trimmed", len(fresh), trimmed)
					}
					events = append(events, fresh...)
					if round%2 == 1 {
						closeLog(t, log)
						log = openAt(t, dir, o)
					}
					kept := events[len(events)*2/3:]
					if n, err := log.Trim(context.Background(), store.All(),
						kept[0].ID); err != nil || n != len(events)-len(kept) {
						t.Fatalf("trim on a full disk: %d of %d, %v", n, len(events)-len(kept), err)
					}
					if round > 0 { // before that, most are small
						trimmed = len(events) - len(kept)
					}
					events = slices.Clone(kept)
					expect(t, log, store.All(), store.ID{}, events)
					storetest.Check(t, log)
				}
				closeLog(t, log)
			})
		}
	}
}

// TestTrimOfLargeEvents: 16 publishers of large events fill a disk and keep publishing. Deleting one such
// event takes many contiguous pages. Where a floor is kept, each topic can be trimmed all the same. Where
// that may find no room any more, retention of the whole log does.
func TestTrimOfLargeEvents(t *testing.T) {
	const publishers = 16
	rounds := 2
	if os.Getenv("TIDINGS_FULL") != "" {
		rounds = 10
	}
	topic := func(i int) string { return fmt.Sprintf("topic-%d", i%publishers) }
	for name, floor := range map[string]uint64{"without a floor": 0, "with a floor": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			log := openAt(t, filepath.Join(storetest.SmallDisk(t, "ext4", 24<<20), "data"),
				bolt.Options{MinFree: func(uint64) uint64 { return floor }})
			refused, stop := publishUntilStopped(t, log, publishers, topic)
			for i := range rounds * publishers {
				if i%publishers == 0 {
					for range publishers {
						<-refused
					}
				}
				n, err := log.Trim(t.Context(), filterOf(t, topic(i)), log.Head())
				if errors.Is(err, store.ErrNoSpace) && (floor == 0 || i >= publishers) {
					n, err = log.Retain(t.Context(), store.Retention{Whole: store.Limits{Events: 1}})
				}
				if err != nil {
					t.Errorf("trim %d: %d events, then %v", i, n, err)
					break
				}
			}
			stop()
			storetest.Check(t, log)
			closeLog(t, log)
		})
	}
}

// publishUntilStopped has publishers append events of 16 KiB, each to its topic, until the returned function
// is called. While someone receives from the channel, each publisher that finds no room sends an element.
func publishUntilStopped(t *testing.T, log store.Log, publishers int,
	topic func(int) string) (<-chan struct{}, func()) {
	ctx, stop := context.WithCancel(t.Context())
	refused := make(chan struct{})
	var publishing sync.WaitGroup
	for i := range publishers {
		publishing.Go(func() {
			draft := store.Draft{Topic: topic(i), Data: make([]byte, 16<<10)}
			for ctx.Err() == nil {
				_, err := store.Append(t.Context(), log, []store.Draft{draft})
				if err == nil {
					continue
				}
				if !errors.Is(err, store.ErrNoSpace) {
					t.Error(err)
				}
				select {
				case refused <- struct{}{}:
				default: // nobody waits
				}
			}
		})
	}
	return refused, func() { stop(); publishing.Wait() }
}

// TestReserveMade: a new log has the reserve, and a log without one gets it with the next event. Each of its
// pages stands alone.
func TestReserveMade(t *testing.T) {
	dir := t.TempDir()
	expectReserve := func(pages int) {
		t.Helper()
		alter(t, dir, func(tx *bbolt.Tx) error {
			got := 0
			if b := tx.Bucket([]byte("reserve")); b != nil {
				got = b.Stats().LeafPageN
				if n := b.Stats().LeafOverflowN; n > 0 {
					t.Errorf("%d pages of the reserve hang on others", n)
				}
			}
			if got != pages {
				t.Errorf("the reserve has %d pages, want %d", got, pages)
			}
			return nil
		})
	}
	closeLog(t, openAt(t, dir, bolt.Options{}))
	expectReserve(32)
	alter(t, dir, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("reserve")) })
	log := openAt(t, dir, bolt.Options{})
	appendN(t, log, 1, "a")
	appendN(t, log, 1, "a")
	closeLog(t, log)
	expectReserve(32)
	if _, _, err := bolt.Compact(t.Context(), dir, nil); err != nil {
		t.Error(err)
	}
	expectReserve(32)
	if report, err := bolt.Verify(t.Context(), dir, nil); err != nil || !report.Intact() {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// manyTopics appends to topics whose records are on many pages, so that a trim writes many.
func manyTopics(t *testing.T, log store.Log) []store.Event {
	topics := make([]string, 200)
	for i := range topics {
		topics[i] = strings.Repeat("x",
			200) + "." + string(rune('a'+i%26)) + strings.Repeat("y", i/26)
	}
	return appendN(t, log, 1000, topics...)
}

// publishSmall uses up the file's last free pages one by one, until too few are left for an append.
func publishSmall(t *testing.T, log store.Log) (acknowledged []store.Event) {
	t.Helper()
	for {
		ids, err := store.Append(context.Background(), log, []store.Draft{{Topic: "a"}})
		if errors.Is(err, store.ErrNoSpace) {
			return acknowledged
		}
		if err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged,
			store.Event{ID: ids[0], Topic: "a", Type: store.DefaultType})
	}
}

// takeDisk appends to a file until no block is left.
func takeDisk(t *testing.T, name string) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for _, n := range []int{64 << 10, 4 << 10, 1 << 10} {
		for err = error(nil); err == nil; err = errors.Join(err, f.Sync()) {
			_, err = f.Write(make([]byte, n))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
	}
}
