package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"tidings/internal/sse"
	"tidings/store"
)

// Consumer is a subscriber that survives its connections: each continues after the last ID that the one before
// dispatched, by the rules of EventSource. It belongs to one goroutine.
type Consumer struct {
	Name        string
	Filter      store.Filter
	Start       string // what the first connection asks for, such as "since=earliest"
	Early       bool   // the first connection was open before anything was published
	Connections []Connection

	cursor string
}

// errStop ends a read that has what it was looking for.
var errStop = errors.New("stop")

// Resume makes the next connection begin after id.
func (c *Consumer) Resume(id store.ID) { c.cursor = id.String() }

// Read connects and reads until stop returns true; then it returns nil. stop gets every event, control events included.
// The error says why the connection failed or ended before.
func (c *Consumer) Read(ctx context.Context, client *http.Client, url string,
	stop func(sse.Event) bool) error {
	stream, err := Subscribe(ctx, client, url, c.query(), c.cursor)
	if err != nil {
		return err
	}
	defer stream.Close()
	return c.ReadFrom(stream, stop)
}

// ReadFrom is Read over a stream that is already open and was asked for what the consumer wants next.
func (c *Consumer) ReadFrom(stream *Stream, stop func(sse.Event) bool) error {
	conn := Connection{}
	opened := c.cursor != ""
	if opened {
		if err := conn.After.UnmarshalText([]byte(c.cursor)); err != nil {
			return err
		}
	}
	err := c.record(stream, &conn, &opened, stop)
	if opened {
		c.Connections = append(c.Connections, conn)
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// record reads the stream into conn. opened is set when conn.After is known.
func (c *Consumer) record(stream *Stream, conn *Connection, opened *bool,
	stop func(sse.Event) bool) error {
	for {
		e, err := stream.Next()
		if err != nil {
			return err
		}
		if !*opened && e.Type == "tidings.open" {
			*opened = true
			if err := conn.After.UnmarshalText([]byte(e.ID)); err != nil {
				return fmt.Errorf("open event: %w", err)
			}
		}
		if err := conn.add(e); err != nil {
			return fmt.Errorf("event %s (%s) %.80q: %w", e.ID, e.Type, e.Data, err)
		}
		if id := stream.LastEventID(); id != "" {
			c.cursor = id
		}
		if stop(e) {
			return errStop
		}
	}
}

// add records an event of the stream.
func (conn *Connection) add(e sse.Event) error {
	switch {
	case e.Type == "tidings.gap":
		gap := &Gap{}
		conn.Items = append(conn.Items, Item{Gap: gap})
		return json.Unmarshal(e.Data, gap)
	case IsControl(e):
		conn.Live = conn.Live || e.Type == "tidings.live"
		return nil
	default:
		id, err := store.ParseID(e.ID)
		if err != nil {
			return err
		}
		entry := Entry{ID: id}
		if err := json.Unmarshal(e.Data, &entry.Message); err != nil {
			return err
		}
		conn.Items = append(conn.Items, Item{Entry: entry})
		return nil
	}
}

func (c *Consumer) query() string {
	query, err := url.ParseQuery(c.Start)
	if err != nil || c.Filter.IsAll() {
		return c.Start // the server reports what is wrong with it
	}
	query["topic"] = c.Filter.Patterns()
	return query.Encode()
}

// UntilLive stops a Read that has caught up.
func UntilLive(e sse.Event) bool { return e.Type == "tidings.live" }

// Forever never stops a Read.
func Forever(sse.Event) bool { return false }

// ReadLog returns all events that a server's log holds.
func ReadLog(ctx context.Context, client *http.Client, url string) ([]Entry, error) {
	c := Consumer{Name: "reader", Filter: store.All(), Start: "since=earliest"}
	if err := c.Read(ctx, client, url, UntilLive); err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return c.entries(), nil
}
