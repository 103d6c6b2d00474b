package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/e2e"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/internal/commit"
	"tidings/store/storetest"
)

// mirrors opens logs that are mirrors, with a sequence for each directory.
func mirrors(forget bool) storetest.Factory {
	var mu sync.Mutex
	sequences := make(map[string]*storetest.Sequence)
	return func(t testing.TB, dir string, opts storetest.Options) store.Log {
		mu.Lock()
		sequence := sequences[dir]
		if sequence == nil {
			sequence = storetest.NewSequence()
			sequences[dir] = sequence
		}
		mu.Unlock()
		if forget {
			if err := os.RemoveAll(logFile(dir)); err != nil {
				t.Fatal(err)
			}
		}
		return openMirror(t, dir, opts, sequence.Seat())
	}
}

func openMirror(t testing.TB, dir string, opts storetest.Options, seat store.Sequencer) *bolt.Log {
	t.Helper()
	log, err := bolt.Open(dir, bolt.Options{Now: opts.Now, KeyWindow: opts.KeyWindow,
		MaxKeys: opts.MaxKeys, MaxMarks: opts.MaxMarks, Sequencer: seat, SequenceSlack: opts.SequenceSlack})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// TestMirrorConformance: a log with a sequencer is a log like any other.
func TestMirrorConformance(t *testing.T) { storetest.Run(t, mirrors(false)) }

// TestMirrorLostConformance: losing the mirror at each close makes no difference.
func TestMirrorLostConformance(t *testing.T) { storetest.Run(t, mirrors(true)) }

// TestMirrorShared: several logs share one sequence.
func TestMirrorShared(t *testing.T) {
	storetest.RunShared(t, func(t testing.TB, dir string, opts storetest.Options) store.Log {
		return openMirror(t, dir, opts, opts.Sequencer)
	})
}

// TestMirrorFile: the file of a mirror is marked as one. Without its sequence it can be verified, compacted,
// read and copied, and accepts no writes until it is detached. A restored copy is an ordinary log.
func TestMirrorFile(t *testing.T) {
	dir, sequence := t.TempDir(), storetest.NewSequence()
	log := openMirror(t, dir, storetest.Options{}, sequence.Seat())
	events := appendN(t, log, 30, "a", "b")
	if _, err := log.Trim(t.Context(), filterOf(t, "a"), events[10].ID); err != nil {
		t.Fatal(err)
	}
	running := crash(t, dir) // with a journal
	id := log.LogID()
	closeLog(t, log)
	for name, dir := range map[string]string{"closed": dir, "killed": running} {
		t.Run(name, func(t *testing.T) {
			report := verify(t, dir)
			if !report.Intact() || report.Format != 3 || report.LogID != id {
				t.Errorf("verify: %+v", report)
			}
			if _, _, err := bolt.Compact(t.Context(), dir, nil); err != nil {
				t.Errorf("compact: %v", err)
			}
			if report := verify(t, dir); !report.Intact() || report.Format != 3 {
				t.Errorf("verify what was compacted: %+v", report)
			}
			if _, err := bolt.Open(dir, bolt.Options{}); !errors.Is(err, bolt.ErrMirror) ||
				!strings.Contains(err.Error(), "detach") {
				t.Errorf("open without a sequencer: %v, want ErrMirror", err)
			}
			other := storetest.NewSequence().Seat()
			if _, err := bolt.Open(dir, bolt.Options{Sequencer: other}); !errors.Is(err, store.ErrDiverged) {
				t.Errorf("open with another sequence: %v, want ErrDiverged", err)
			}
			backup := mirrorAlone(t, dir)
			restored := t.TempDir()
			if _, err := bolt.Restore(t.Context(), backup, restored, bolt.RestoreOptions{}); err != nil {
				t.Fatal(err)
			}
			if report := verify(t, restored); !report.Intact() || report.Format > 2 || report.LogID == id {
				t.Errorf("verify what was restored: %+v", report)
			}
			detached, err := bolt.Detach(dir)
			if err != nil {
				t.Fatal(err)
			}
			if report := verify(t, dir); !report.Intact() || report.Format > 2 || report.LogID != detached ||
				detached == id {
				t.Errorf("verify what was detached: %+v, its new identity is %s", report, detached)
			}
			if _, err := bolt.Detach(dir); !errors.Is(err, bolt.ErrExists) {
				t.Errorf("detach again: %v, want ErrExists", err)
			}
			if _, err := bolt.Open(dir, bolt.Options{Sequencer: sequence.Seat()}); !errors.Is(err, bolt.ErrExists) {
				t.Errorf("open an ordinary log with a sequencer: %v, want ErrExists", err)
			}
			log := openAt(t, dir, bolt.Options{})
			appendN(t, log, 1, "a")
			storetest.Check(t, log)
		})
	}
}

// mirrorAlone opens a mirror without its sequence and returns a backup of it.
func mirrorAlone(t *testing.T, dir string) (backup string) {
	log := openAt(t, dir, bolt.Options{Alone: true})
	defer closeLog(t, log)
	if _, err := store.Append(t.Context(), log, []store.Draft{{Topic: "a"}}); !errors.Is(err, bolt.ErrMirror) {
		t.Errorf("append: %v, want ErrMirror", err)
	}
	if n, err := log.Trim(t.Context(), store.All(), store.MaxID); n > 0 || !errors.Is(err, bolt.ErrMirror) {
		t.Errorf("trim: %d, %v, want ErrMirror", n, err)
	}
	if err := log.Ready(); !errors.Is(err, bolt.ErrMirror) {
		t.Errorf("ready: %v, want ErrMirror", err)
	}
	storetest.Check(t, log)
	backup = filepath.Join(t.TempDir(), "backup")
	out, err := os.Create(backup)
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Backup(t.Context(), out)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	return backup
}

// TestMirrorDamaged: a damaged mirror is set aside as it is, and rebuilt.
func TestMirrorDamaged(t *testing.T) {
	dir, sequence := t.TempDir(), storetest.NewSequence()
	log := openMirror(t, dir, storetest.Options{}, sequence.Seat())
	events := appendN(t, log, 100, "a", "b")
	closeLog(t, log)
	var damaged []byte
	edit(t, dir, func(file []byte) {
		clear(file[2*4096:])
		damaged = bytes.Clone(file)
	})
	log = openMirror(t, dir, storetest.Options{}, sequence.Seat())
	expect(t, log, store.All(), store.ID{}, events)
	storetest.Check(t, log)
	if !log.Stats().Sequence.Rebuilt {
		t.Error("the statistics do not say that it was made again")
	}
	closeLog(t, log)
	aside, err := filepath.Glob(filepath.Join(dir, "log.db.aside-*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("set aside: %v, %v", aside, err)
	}
	if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("what was set aside is not what was damaged (%v)", err)
	}
}

// TestMirrorDiskFull: a commit that has its place, and finds no room here, waits for it. Its caller gets an
// unknown outcome; all other nodes have the commit; the log is not ready, and continues by itself.
func TestMirrorDiskFull(t *testing.T) {
	disk, sequence := smallDisk(t, "tmpfs"), storetest.NewSequence()
	log := openMirror(t, filepath.Join(disk, "data"), storetest.Options{}, sequence.Seat())
	other := openMirror(t, t.TempDir(), storetest.Options{}, sequence.Seat())
	defer closeLog(t, other)
	appendN(t, log, 10, "a")
	takeDisk(t, filepath.Join(disk, "other"))
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = log.AppendOnce(t.Context(), []store.Group{{Key: strconv.Itoa(n),
			Drafts: []store.Draft{{Topic: "b", Data: make([]byte, 20_000)}}}})
	}
	if !errors.Is(err, store.ErrOutcomeUnknown) || errors.Is(err, store.ErrFailed) || errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("append on a full disk: %v, want ErrOutcomeUnknown alone", err)
	}
	if err := log.Ready(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("ready: %v, want ErrNoSpace", err)
	}
	last := []store.Group{{Key: strconv.Itoa(n - 1),
		Drafts: []store.Draft{{Topic: "b", Data: make([]byte, 20_000)}}}}
	there, err := other.AppendOnce(t.Context(), last)
	if err != nil || !there[0].Replayed {
		t.Fatalf("the event on another node: %+v, %v, want a replay", there, err)
	}
	if err := os.Remove(filepath.Join(disk, "other")); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "the log to be ready", func() bool { return log.Ready() == nil })
	here, err := log.AppendOnce(t.Context(), last)
	if err != nil || !here[0].Replayed || here[0].IDs[0] != there[0].IDs[0] {
		t.Errorf("the event here: %+v, %v, want %+v", here, err, there)
	}
	storetest.Agree(t, log, other)
	closeLog(t, log)
}

// TestMirrorOpenOutcome: while it is unknown whether a commit has a place, nothing else is decided. After a
// while its caller gets an unknown outcome, and so does anyone who repeats the request; all others learn that
// nothing of theirs was stored. When the sequencer answers, everything continues.
func TestMirrorOpenOutcome(t *testing.T) {
	for name, fate := range map[string]storetest.Fate{"placed": storetest.Unheard, "not placed": storetest.Lost} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { openOutcome(t, fate) })
		})
	}
}

// pass advances the bubble's time, and lets what is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func openOutcome(t *testing.T, fate storetest.Fate) {
	seat := storetest.NewSequence().Seat()
	log := openMirror(t, t.TempDir(), storetest.Options{}, seat)
	defer closeLog(t, log)
	appendN(t, log, 3, "a")
	seat.OnAppend(func([]byte) storetest.Fate { return fate })
	publish := func(key string) *later {
		return start(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := log.AppendOnce(ctx, keyed("a", key))
			return err
		})
	}
	first := publish("k")
	pass(6 * time.Second)
	if err := log.Ready(); err != nil {
		t.Errorf("ready after 6 seconds: %v", err)
	}
	pass(4*time.Second + time.Second/2)
	if !errors.Is(first.err, store.ErrOutcomeUnknown) || errors.Is(first.err, store.ErrFailed) {
		t.Fatalf("after 10 seconds: %+v, want ErrOutcomeUnknown", first)
	}
	if err := log.Ready(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ready: %v, want ErrUnavailable", err)
	}
	again, another := publish("k"), publish("other")
	pass(6 * time.Second)
	if !errors.Is(again.err, store.ErrOutcomeUnknown) {
		t.Errorf("the same again: %+v, want ErrOutcomeUnknown", again)
	}
	if !errors.Is(another.err, store.ErrUnavailable) || errors.Is(another.err, store.ErrOutcomeUnknown) {
		t.Errorf("another: %+v, want ErrUnavailable", another)
	}
	seat.OnAppend(nil)
	pass(time.Second)
	if err := log.Ready(); err != nil {
		t.Errorf("ready when the sequencer has said: %v", err)
	}
	if results, err := log.AppendOnce(t.Context(), keyed("a", "k")); err != nil || !results[0].Replayed {
		t.Errorf("the same when it is known: %+v, %v, want a replay", results, err)
	}
	storetest.Check(t, log)
}

// TestMirrorAskedOnce: however many callers wait to catch up, one call is in flight; and none uses the answer
// of a call that began before it.
func TestMirrorAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sequence := storetest.NewSequence()
		seat := sequence.Seat()
		log := openMirror(t, t.TempDir(), storetest.Options{}, seat)
		defer closeLog(t, log)
		other := openMirror(t, t.TempDir(), storetest.Options{}, sequence.Seat())
		defer closeLog(t, other)
		answer := make(chan struct{})
		seat.OnEnd(func() { <-answer })
		before := seat.Ends()
		all := []*later{start(func() error { return log.CatchUp(t.Context()) })}
		last := appendN(t, other, 1, "a")[0].ID
		for range 100 {
			all = append(all, start(func() error {
				err := log.CatchUp(t.Context())
				if head := log.Head(); err == nil && head != last {
					err = fmt.Errorf("caught up to %s, want %s", head, last)
				}
				return err
			}))
		}
		close(answer)
		synctest.Wait()
		for i, l := range all {
			if !l.ended || l.err != nil {
				t.Errorf("call %d: ended %t, %v", i, l.ended, l.err)
			}
		}
		if n := seat.Ends() - before; n != 2 {
			t.Errorf("the end was asked for %d times, want once for the first and once for all others", n)
		}
	})
}

// TestMirrorStats: attempts, those that lost to another node, those whose outcome was not known in time, and
// how far the log is behind and for how long, even if nothing that it lacks has arrived.
func TestMirrorStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sequence := storetest.NewSequence()
		other := openMirror(t, t.TempDir(), storetest.Options{}, sequence.Seat())
		defer closeLog(t, other)
		seat := sequence.Seat()
		log := openMirror(t, t.TempDir(), storetest.Options{}, seat)
		defer closeLog(t, log)
		want := store.SequenceStats{}
		is := func(when string) {
			t.Helper()
			synctest.Wait()
			if got := log.Stats().Sequence; got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		is("at the start")
		seat.OnAppend(func([]byte) storetest.Fate {
			seat.OnAppend(nil)
			appendN(t, other, 1, "a")
			return storetest.Placed
		})
		appendN(t, log, 1, "a")
		want.Attempts, want.Conflicts = 2, 1
		is("after a conflict")
		seat.OnAppend(func([]byte) storetest.Fate { return storetest.Lost })
		late := start(func() error { _, err := log.AppendOnce(t.Context(), keyed("a", "k")); return err })
		pass(11 * time.Second)
		if !errors.Is(late.err, store.ErrOutcomeUnknown) {
			t.Errorf("%+v, want ErrOutcomeUnknown", late)
		}
		seat.OnAppend(nil)
		pass(time.Second)
		want.Attempts, want.Unknown = 3, 1
		is("after an unknown outcome")
		seat.Pause()
		for range 3 {
			appendN(t, other, 1, "a")
		}
		want.Lag = 3
		is("when it is behind")
		pass(20 * time.Second)
		want.Behind = 20 * time.Second
		is("when it has been so for long")
		seat.Resume()
		want.Lag, want.Behind = 0, 0
		is("when it is up to date")
	})
}

// TestMirrorTrimsOnce: of two nodes that have to trim the same events at the same time, one does and the
// other gives way: each event is trimmed by one commit, and hardly any attempt is in vain. The same holds if
// one keeps less.
func TestMirrorTrimsOnce(t *testing.T) {
	for name, keep := range map[string][2]uint64{"the same": {100, 100}, "less": {100, 50}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { trimsOnce(t, 5000, keep) })
		})
	}
}

func trimsOnce(t *testing.T, events int, keep [2]uint64) {
	sequence := storetest.NewSequence()
	var attempts atomic.Int64 // to trim
	var nodes [2]*bolt.Log
	for i := range nodes {
		seat := sequence.Seat()
		nodes[i] = openMirror(t, t.TempDir(), storetest.Options{}, seat)
		defer closeLog(t, nodes[i])
		seat.OnAppend(func(b []byte) storetest.Fate {
			if k, err := commit.Decode(b); err != nil || len(k.Trims) > 0 {
				attempts.Add(1)
			}
			time.Sleep(time.Millisecond) // on its way
			return storetest.Placed
		})
	}
	appendN(t, nodes[0], events, "a", "b", "c")
	if err := nodes[1].CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	var passes [2]*later
	var deleted [2]int
	for i, n := range nodes {
		passes[i] = start(func() (err error) {
			deleted[i], err = n.Retain(t.Context(), store.Retention{Whole: store.Limits{Events: keep[i]}})
			return err
		})
	}
	pass(time.Minute)
	least := min(keep[0], keep[1])
	for i, n := range nodes {
		info, err := n.Info()
		if err := errors.Join(err, passes[i].err); err != nil || !passes[i].ended || info.Events != least {
			t.Errorf("node %d: %+v, %d events are left, want %d (%v)", i, passes[i], info.Events, least, err)
		}
	}
	if all := deleted[0] + deleted[1]; all != events-int(least) {
		t.Errorf("%v were trimmed, want %d together", deleted, events-int(least))
	}
	if n, steps := int(attempts.Load()), events/128+1; n > steps+4 {
		t.Errorf("%d attempts to trim, for %d steps", n, steps)
	}
}

// TestMirrorCloses: a log closes soon, even while its sequencer does not answer or is unreachable; the
// outcome of its last commit is seen at the next open.
func TestMirrorCloses(t *testing.T) {
	for name, fate := range map[string]storetest.Fate{"placed": storetest.Unheard, "lost": storetest.Lost,
		"not there": storetest.NoAnswer} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, sequence := t.TempDir(), storetest.NewSequence()
				seat := sequence.Seat()
				log := openMirror(t, dir, storetest.Options{}, seat)
				seat.OnAppend(func([]byte) storetest.Fate { return fate })
				append := start(func() error {
					_, err := log.AppendOnce(context.Background(), keyed("a", "k"))
					return err
				})
				synctest.Wait() // it has been offered to the sequencer
				began := time.Now()
				closeLog(t, log)
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("closing took %v", took)
				}
				synctest.Wait()
				if unknown := errors.Is(append.err, store.ErrOutcomeUnknown); append.err == nil ||
					unknown != (fate != storetest.NoAnswer) {
					t.Errorf("append: %v", append.err)
				}
				log = openMirror(t, dir, storetest.Options{}, sequence.Seat())
				defer closeLog(t, log)
				results, err := log.AppendOnce(t.Context(), keyed("a", "k"))
				if err != nil || results[0].Replayed != (fate == storetest.Unheard) {
					t.Errorf("the same at the next open: %+v, %v", results, err)
				}
			})
		})
	}
}
