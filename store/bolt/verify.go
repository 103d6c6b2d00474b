package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"tidings/store"
)

// Report is what Verify found in a log file.
type Report struct {
	Format     uint32   `json:"format"`
	LogID      store.ID `json:"log"`
	Bytes      int64    `json:"bytes"` // size of the file
	Events     uint64   `json:"events"`
	First      store.ID `json:"first"` // oldest and newest event, zero if there is none
	Last       store.ID `json:"last"`
	Head       store.ID `json:"head"`
	Topics     int      `json:"topics"`
	Keys       int      `json:"keys"`
	Marks      int      `json:"marks"`
	Deliveries int      `json:"deliveries"`
	Slots      int      `json:"slots"`
	// events whose records fail their checksum, in log order
	Damaged []store.ID `json:"damaged"`

	// Problems are sentences about everything else that is wrong, the first maxProblems of them;
	// More counts the others.
	Problems []string `json:"problems"`
	More     int      `json:"more_problems"`
}

// maxProblems bounds a report: one damaged page can break thousands of references.
const maxProblems = 1000

// Intact reports whether nothing is wrong with the log.
func (r *Report) Intact() bool { return len(r.Damaged) == 0 && len(r.Problems) == 0 }

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) == maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Verify reads all of the closed log in the directory path and compares everything that it stores twice:
// bbolt's pages, every checksum, the order, the head, each topic's chain, counters and sparse keys,
// idempotency keys, read marks and deliveries. It changes nothing. progress, which may be nil, is called now
// and then with the number of events read and the total.
//
// Damage is in the report. The error says why there is no report: ErrLocked, ErrNoLog, ErrNewerFormat, the
// file cannot be read, or the cause of ctx's end. After that last one, the file may still be read until the
// process ends.
func Verify(ctx context.Context, path string,
	progress func(done, total uint64)) (Report, error) {
	if _, err := (&dir{path: path}).mustFind(); err != nil {
		return Report{}, err
	}
	d, err := holdToRead(path)
	if err != nil {
		return Report{}, err
	}
	report, err := verifyFile(ctx, d.file(fileName), progress)
	return report, errors.Join(err, d.close())
}

// verifyFile is Verify for a file that nobody has open for writing.
func verifyFile(ctx context.Context, path string,
	progress func(done, total uint64)) (report Report, err error) {
	read := make(chan Report, 1)
	err = interruptible(ctx, func() error {
		r, err := readWhole(path, progress)
		read <- r
		return err
	})
	select {
	case report = <-read:
	default: // interrupted
	}
	return report, err
}

// readWhole is verifyFile without interruption.
func readWhole(path string, progress func(done, total uint64)) (report Report, err error) {
	report = Report{Damaged: []store.ID{}, Problems: []string{}} // [] in JSON
	stat, err := os.Stat(path)
	if err != nil {
		return report, fmt.Errorf("verify: %w", err)
	}
	report.Bytes = stat.Size()
	var found pages
	err = checkWhole(path, stat.Size(), &found, func(*bbolt.Tx) error { return nil })
	switch err := errors.Join(err, found.close()); {
	case errors.Is(err, ErrDamaged):
		report.problem("%v", err)
		return report, nil
	case err != nil:
		return report, err
	}
	var file *os.File
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockWait,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			file, err = openFile(name, flag, mode)
			return file, err
		}})
	if err != nil {
		return report, fmt.Errorf("open %s: %w", path, err)
	}
	if !report.inspect(db, progress) {
		return report, abandon(file)
	}
	return report, db.Close()
}

// inspect fills in the report. It returns false if the pages themselves are not sound.
func (r *Report) inspect(db *bbolt.DB, progress func(done, total uint64)) (sound bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			r.problem("reading %s: %v", db.Path(), p)
			sound = false
		}
	}()
	// the function returns no error, and View has none of its own
	_ = db.View(func(tx *bbolt.Tx) error {
		// recovers by itself; checkWhole has shown that every page can be read
		for err := range tx.Check() {
			r.problem("structure: %v", err)
		}
		if sound = len(r.Problems) == 0; sound {
			newAudit(tx, r, progress).run()
		}
		return nil
	})
	return sound
}
