package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"tidings/store"
)

// A Board keeps rows beside the deliveries, whose names do not begin with a NUL: how far it has read, the rules, and
// the alerts open there, all as of one moment.
const (
	rowOfBoard  = "\x00alerts"
	rowsOfRules = rowOfBoard + "\x00rule\x00"
	rowsOfOpen  = rowOfBoard + "\x00open\x00"
)

func ruleName(name string) string { return rowsOfRules + name }

func alertName(id store.ID) string { return rowsOfOpen + id.String() }

// boardRow is what the log keeps of the board, beside how far it has read.
type boardRow struct {
	Version int      `json:"version"`
	Log     store.ID `json:"log"` // which it escalates
}

const (
	recordVersion = 1

	// progressEvery is the least time between two writes of rows.
	progressEvery = time.Second

	// idleProgress is how often the position of the board is written while it reads and no row changes.
	idleProgress = 30 * time.Second
)

// written is the board's own row as last written.
type written struct {
	at   store.ID
	when time.Time
}

// note has a row written soon, as of is by then; nil: it is deleted. The caller holds mu.
func (b *Board) note(name string, of any) {
	b.unwritten[name] = of
	b.markDirty()
}

func (b *Board) markDirty() {
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

func (b *Board) change(a *alert) { b.note(alertName(a.id), a) }

func (b *Board) changeRule(r *rule) { b.note(ruleName(r.name), r) }

func encode(row any) []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // which would make it longer
	if err := enc.Encode(row); err != nil {
		panic(err) // nothing in it can fail
	}
	return text.Bytes()
}

// rows returns the rows to write. The caller holds mu.
func (b *Board) rows() []store.NamedDelivery {
	own := boardRow{recordVersion, b.logID}
	if b.held {
		own.Log = store.ID{}
	}
	rows := []store.NamedDelivery{{Name: rowOfBoard, Delivery: store.Delivery{ID: b.at, Record: encode(own)}}}
	for name, of := range b.unwritten {
		row := store.NamedDelivery{Name: name}
		switch of := of.(type) {
		case *alert:
			row.Delivery = store.Delivery{ID: of.id, Record: encode(of.row)}
		case *rule:
			row.Delivery = store.Delivery{ID: of.From, Record: encode(of.ruleRow)}
		}
		rows = append(rows, row)
	}
	return rows
}

// write writes all pending rows at once. The caller holds writing.
func (b *Board) write(ctx context.Context, ride bool) error {
	b.mu.Lock()
	rows, pending, last := b.rows(), b.unwritten, b.written
	b.unwritten, b.written = make(map[string]any), written{b.at, b.o.Now()}
	b.mu.Unlock()
	err := b.log.SetDeliveries(ctx, rows, ride)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.written = last
		maps.Copy(pending, b.unwritten) // later changes win
		b.unwritten = pending
	}
	return err
}

// flush writes what has changed, if anything.
func (b *Board) flush(ctx context.Context, ride bool) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	none := len(b.unwritten) == 0 && b.at == b.written.at
	b.mu.Unlock()
	if none {
		return nil
	}
	return b.write(ctx, ride)
}

// writeProgress writes what has changed, at most once a second.
func (b *Board) writeProgress() {
	failing := false
	for {
		select {
		case <-b.dirty:
		case <-b.ctx.Done():
			return
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
		err := b.flush(ctx, true)
		cancel()
		if err != nil && !failing && b.ctx.Err() == nil {
			b.o.Logger.Warn("cannot write alert progress; the next start reads it from the log again",
				"error", err)
		}
		if failing = err != nil; failing {
			b.markDirty()
		}
		select {
		case <-time.After(time.Until(began.Add(progressEvery))):
		case <-b.ctx.Done():
			return
		}
	}
}

// load reads the rows. The error is the log's.
func (b *Board) load() error {
	rows, err := b.log.Deliveries()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.log.Head() // unless a row has another
	for i := range rows {
		if err := b.loadRow(&rows[i]); err != nil {
			b.o.Logger.Error("skipping a damaged alert record: set the rule again, or look at the event",
				"record", fmt.Sprintf("%q", rows[i].Name), "error", err)
		}
	}
	for _, a := range b.alerts {
		for i := range a.Rules {
			b.begin(a, &a.Rules[i])
		}
	}
	b.countOpen()
	b.forgetRules()
	b.written = written{b.at, b.o.Now()}
	return nil
}

// loadRow loads a row, and ignores those that are not the board's. They come sorted by name: the board's own before
// alerts, and these before rules. The caller holds mu.
func (b *Board) loadRow(stored *store.NamedDelivery) error {
	if stored.Name == rowOfBoard {
		var own boardRow
		if err := decode(stored.Record, &own, &own.Version); err != nil {
			b.held = true // which log it is of is unknown
			return err
		}
		b.at, b.held = stored.ID, own.Log != b.logID
		return nil
	}
	if text, ok := strings.CutPrefix(stored.Name, rowsOfOpen); ok {
		a := &alert{}
		err := decode(stored.Record, &a.row, nil)
		if err == nil {
			a.id, err = store.ParseID(text)
		}
		if err == nil {
			err = store.ValidateTopic(prefix + a.Topic)
		}
		if err == nil {
			b.alerts = append(b.alerts, a)
		}
		return err
	}
	name, ok := strings.CutPrefix(stored.Name, rowsOfRules)
	if !ok {
		return nil
	}
	var row ruleRow
	err := decode(stored.Record, &row, &row.Version)
	if err == nil {
		b.rules[name], err = compile(name, row)
	}
	if err != nil {
		delete(b.rules, name)
		b.damaged[name] = true
	}
	return err
}

// decode decodes a record. If version is not nil, the record must have this release's version.
func decode(text []byte, into any, version *int) error {
	if text == nil {
		return errors.New("checksum mismatch")
	}
	if err := json.Unmarshal(text, into); err != nil {
		return err
	}
	if version != nil && *version != recordVersion {
		return fmt.Errorf("it has version %d, this release reads %d", *version, recordVersion)
	}
	return nil
}

// Resume lets a restored log escalate, durably. Errors: those of the log.
func (b *Board) Resume(ctx context.Context) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	was := b.held
	b.held = false
	b.mu.Unlock()
	if !was {
		return nil
	}
	err := b.write(ctx, false)
	if err != nil {
		b.mu.Lock()
		b.held = true
		b.mu.Unlock()
	}
	b.wake()
	return err
}
