// Outbox publishes what other programs insert into the table outbox, in order, each row as exactly one event. It runs
// until SIGTERM; with -once it ends when the table is empty. It exits with an error if the database is lost or the
// server refuses a row: let a supervisor restart it.
//
// DATABASE_URL names the database, TIDINGS_URL and TIDINGS_TOKEN the server.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	pollInterval = 500 * time.Millisecond
	rowsPerRead  = 100

	// lockID is any number that nothing else in this database locks.
	lockID = 7_218_041
)

// row is one row of the table, one event to publish.
type row struct {
	Position               int64
	Key, Topic, Type, Data string
}

func main() {
	once := flag.Bool("once", false, "end when the table is empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *once); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, once bool) error {
	db, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	// A second poller waits here, and takes over when the first one's session ends.
	if _, err := db.Exec(ctx, `SELECT pg_advisory_lock($1)`, lockID); err != nil {
		return fmt.Errorf("wait for the lock: %w", err)
	}
	p := newPublisher(cmp.Or(os.Getenv("TIDINGS_URL"), "http://127.0.0.1:8080"),
		os.Getenv("TIDINGS_TOKEN"))
	for {
		rows, err := read(ctx, db)
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		for _, r := range rows {
			id, err := p.publish(ctx, r)
			if err != nil {
				return fmt.Errorf("publish row %d: %w", r.Position, err)
			}
			// A crash here leaves the row: it is published again, under the same key, and is the same event.
			if _, err := db.Exec(ctx, `DELETE FROM outbox WHERE position = $1`,
				r.Position); err != nil {
				return fmt.Errorf("delete row %d, which is published: %w", r.Position, err)
			}
			log.Printf("row %d of %s is event %s", r.Position, r.Topic, id)
		}
		if len(rows) > 0 {
			continue
		}
		if once {
			return nil
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// read returns the oldest rows. They are not found by a remembered position: a transaction that took a lower position
// may commit later, and would be skipped.
func read(ctx context.Context, db *pgx.Conn) ([]row, error) {
	rows,
		err := db.Query(ctx,
		`SELECT position, key::text, topic, type, data::text FROM outbox ORDER BY position `+
			`LIMIT $1`,
		rowsPerRead)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[row])
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
