package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// alarm is an event in a slot.
func alarm(subject string) store.Draft {
	return store.Draft{Topic: "$alerts.b", Type: "t", ContentType: "application/json", Data: []byte("{}"),
		Attributes: []store.Attribute{{Name: "source", Value: `"/"`}, {Name: "subject", Value: `"` + subject + `"`}}}
}

// eventful returns a backup of a log that was opened more than once and has one of everything: topics that
// are trimmed, wholly or in part, and ended, keys of deleted events, marks, deliveries and slots. ids are
// those of all events ever.
func eventful(t *testing.T) (file string, m store.Manifest, ids []store.ID) {
	dir, _ := fullLog(t)
	for i := range 3 {
		log := openAt(t, dir, bolt.Options{})
		for _, e := range appendN(t, log, 300, "a.x", fmt.Sprint("gone.", i), "z") {
			ids = append(ids, e.ID)
		}
		results, err := log.AppendOnce(t.Context(), []store.Group{{Key: fmt.Sprint("key ", i), Owner: "o",
			Drafts: []store.Draft{{Topic: "z", Data: []byte("keyed")}}}, {Drafts: []store.Draft{alarm(fmt.Sprint(i))}}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, results[0].IDs[0], results[1].IDs[0])
		_, err = log.SetMark(t.Context(), "s", fmt.Sprint(i),
			store.Mark{ID: log.Head(), Topics: filterOf(t, "z", "a.>")})
		err = errors.Join(err, log.SetDeliveries(t.Context(), []store.NamedDelivery{{Name: fmt.Sprint(i),
			Delivery: store.Delivery{ID: log.Head(), Record: []byte("{}")}}}, false))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{fmt.Sprint("gone.", i), "z", "$alerts.b"} {
			if _, err := log.Trim(t.Context(), filterOf(t, name), store.MaxID); err != nil {
				t.Fatal(err)
			}
		}
		closeLog(t, log)
	}
	file, m = backUp(t, openAt(t, dir, bolt.Options{}))
	return file, m, ids
}

// planted opens the log restored from a backup into a sequence, on the node that restores it and on one that
// joins later.
func planted(t *testing.T, file string, m store.Manifest) (node, late *bolt.Log) {
	t.Helper()
	sequence, dir := storetest.NewSequence(), t.TempDir()
	report, err := bolt.RestoreMirror(t.Context(), file, dir, bolt.RestoreOptions{Manifest: &m},
		bolt.Options{Sequencer: sequence.Seat()})
	if err != nil || report.Events != m.Events || report.LogID == m.LogID {
		t.Fatalf("restored %+v, error %v", report, err)
	}
	if report := verify(t, dir); !report.Intact() || report.Format != 3 {
		t.Errorf("verify what was restored: %+v", report)
	}
	node = openMirror(t, dir, storetest.Options{}, sequence.Seat())
	t.Cleanup(func() { closeLog(t, node) })
	late = openMirror(t, t.TempDir(), storetest.Options{}, sequence.Seat())
	t.Cleanup(func() { closeLog(t, late) })
	return node, late
}

// TestRestoreMirror: a backup restored into a sequence is the same as on one machine, except for the log's
// identity. So is a backup of that, restored into another.
func TestRestoreMirror(t *testing.T) {
	file, m, ids := eventful(t)
	alone := restored(t, file, m)
	node, late := planted(t, file, m)
	copied, of := backUp(t, node)
	again, _ := planted(t, copied, of)
	for _, log := range []*bolt.Log{node, late, again} {
		storetest.Agree(t, renamed{alone, log.LogID()}, log)
		storetest.Check(t, log)
		if diff := cmp.Diff(beside(t, alone, ids), beside(t, log, ids), cmpopts.EquateEmpty(),
			cmp.Comparer(func(a, b store.Filter) bool { return a.String() == b.String() })); diff != "" {
			t.Errorf("beside the events: %s", diff)
		}
	}
	asked := func(log *bolt.Log) string {
		results, err := log.AppendOnce(t.Context(), []store.Group{{Key: "key 1", Owner: "o",
			Drafts: []store.Draft{{Topic: "z", Data: []byte("keyed")}}}})
		taken := store.ID{}
		_, full := log.AppendOnce(t.Context(), []store.Group{{Newest: &taken, Slot: true,
			Drafts: []store.Draft{alarm("1")}}})
		return fmt.Sprint(results, err, full)
	}
	if got, want := asked(late), asked(alone); got != want || !strings.Contains(got, ids[len(ids)-303].String()) {
		t.Errorf("a key and a slot: %s, want %s", got, want)
	}
}

// renamed is a log with another identity.
type renamed struct {
	*bolt.Log
	id store.ID
}

func (r renamed) Info() (store.Info, error) {
	info, err := r.Log.Info()
	info.LogID = r.id
	return info, err
}

// beside returns what a log knows besides the retained events.
func beside(t *testing.T, log *bolt.Log, ids []store.ID) (all []any) {
	t.Helper()
	for _, id := range ids {
		nearest, known, err := log.Resolve(id)
		if err != nil || !known {
			t.Errorf("resolve %s: known %t, error %v", id, known, err)
		}
		all = append(all, nearest)
	}
	for _, subject := range []string{"s", "subject"} {
		marks, err := log.Marks(subject, "", 100)
		if err != nil || len(marks) == 0 {
			t.Errorf("marks of %s: %v, error %v", subject, marks, err)
		}
		all = append(all, marks)
	}
	deliveries, err := log.Deliveries()
	if err != nil || len(deliveries) != 3 {
		t.Errorf("deliveries %v, error %v", deliveries, err)
	}
	return append(all, deliveries)
}

// TestRestoreMirrorWaits: a restore waits for a sequencer that does not answer for half a minute, half way.
func TestRestoreMirrorWaits(t *testing.T) {
	dir, events := fullLog(t)
	file, m := backUp(t, openAt(t, dir, bolt.Options{}))
	synctest.Test(t, func(t *testing.T) {
		sequence, began := storetest.NewSequence(), time.Now()
		seat := sequence.Seat()
		seat.OnAppend(func([]byte) storetest.Fate {
			if sequence.Len() == 2 && time.Since(began) < 30*time.Second {
				return storetest.NoAnswer
			}
			return storetest.Placed
		})
		report, err := bolt.RestoreMirror(t.Context(), file, t.TempDir(), bolt.RestoreOptions{Manifest: &m},
			bolt.Options{Sequencer: seat})
		if err != nil || report.Events != uint64(len(events)) || time.Since(began) < 30*time.Second {
			t.Errorf("after %v: %+v, error %v", time.Since(began), report, err)
		}
	})
}

// TestRestoreMirrorRefuses: nothing is placed of a damaged backup, or after commits of others, and no log is
// left. If another node intervenes, the error says that the sequence has a part of the backup.
func TestRestoreMirrorRefuses(t *testing.T) {
	file, m, _ := eventful(t)
	restore := func(dir string, s *storetest.Sequence, m *store.Manifest) error {
		seat := s.Seat()
		seat.OnAppend(func([]byte) storetest.Fate {
			if s.Len() == 1 {
				other := openMirror(t, t.TempDir(), storetest.Options{}, s.Seat())
				appendN(t, other, 1, "other")
				closeLog(t, other)
			}
			return storetest.Placed
		})
		_, err := bolt.RestoreMirror(context.Background(), file, dir, bolt.RestoreOptions{Manifest: m},
			bolt.Options{Sequencer: seat})
		if left, _ := filepath.Glob(filepath.Join(dir, "log.db*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		return err
	}
	s, wrong := storetest.NewSequence(), m
	wrong.Size++
	if err := restore(t.TempDir(), s, &wrong); !errors.Is(err, bolt.ErrDamaged) || s.Len() > 0 {
		t.Errorf("another manifest: %v, %d commits", err, s.Len())
	}
	err := restore(t.TempDir(), s, &m)
	if !errors.Is(err, bolt.ErrExists) || !strings.Contains(err.Error(), "a part of") {
		t.Errorf("another node in between: %v", err)
	}
	n := s.Len()
	if err := restore(t.TempDir(), s, &m); !errors.Is(err, bolt.ErrExists) || s.Len() != n {
		t.Errorf("a sequence with commits: %v, %d commits, was %d", err, s.Len(), n)
	}
}
