package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tidings/internal/wire"
)

// movedDelivery is a delivery as export writes it, a JSON object per line: its settings and its position, without
// URL and secret.
type movedDelivery struct {
	Name        string   `json:"name"`
	Origin      string   `json:"origin"`
	Topics      []string `json:"topics"`
	Format      string   `json:"format,omitempty"`
	GiveUpAfter float64  `json:"give_up_after_seconds"`
	OnGiveUp    string   `json:"on_give_up"`
	Order       string   `json:"order"`
	InFlight    int      `json:"in_flight"`
	Cursor      string   `json:"cursor"`

	Kind     string          `json:"kind"`
	To       string          `json:"to,omitempty"`
	Sender   string          `json:"sender,omitempty"`
	User     string          `json:"user,omitempty"`
	Language string          `json:"language,omitempty"`
	TimeZone string          `json:"time_zone,omitempty"`
	Detail   string          `json:"detail,omitempty"`
	Template json.RawMessage `json:"template,omitempty"`
}

type deliveriesExportCmd struct {
	client
}

func (c *deliveriesExportCmd) Run(ctx context.Context, app *app) error {
	query := url.Values{}
	for {
		var page struct {
			Deliveries []movedDelivery `json:"deliveries"`
			Next       *string         `json:"next"`
		}
		if err := c.call(ctx, app, http.MethodGet, query, nil, &page); err != nil {
			return err
		}
		for _, d := range page.Deliveries {
			if len(d.Topics) == 0 {
				return fmt.Errorf("the record of %s is damaged: set it again, or delete it", d.Name)
			}
			if err := app.print("%s", wire.Marshal(d)); err != nil {
				return err
			}
		}
		if page.Next == nil {
			return nil
		}
		query.Set("after", *page.Next)
	}
}

type deliveriesImportCmd struct {
	client

	From string `help:"Start all deliveries here instead of at their exported positions: latest or earliest." placeholder:"START"`
}

// Run creates the deliveries that standard input lists. An existing one is an error, and stays as it is.
func (c *deliveriesImportCmd) Run(ctx context.Context, app *app) error {
	lines := json.NewDecoder(app.stdin)
	for n := 1; ; n++ {
		var d movedDelivery
		switch err := lines.Decode(&d); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("delivery %d of standard input: %w", n, err)
		}
		if err := c.make(ctx, app, &d); err != nil {
			return fmt.Errorf("%s, delivery %d of standard input: %w", printable(d.Name), n, err)
		}
	}
}

func (c *deliveriesImportCmd) make(ctx context.Context, app *app, d *movedDelivery) error {
	var name deliveryName
	if err := name.UnmarshalText([]byte(d.Name)); err != nil {
		return err
	}
	from := d.Cursor
	if c.From != "" {
		from = c.From
	}
	body := map[string]any{"incomplete": true, "topics": d.Topics, "on_give_up": d.OnGiveUp,
		"give_up_after_seconds": d.GiveUpAfter, "order": d.Order, "in_flight": d.InFlight, "from": from}
	for member, text := range map[string]string{"kind": d.Kind, "format": d.Format, "to": d.To, "sender": d.Sender,
		"user": d.User, "language": d.Language, "time_zone": d.TimeZone, "detail": d.Detail} {
		if text != "" {
			body[member] = text
		}
	}
	if len(d.Template) > 0 && string(d.Template) != "null" {
		body["template"] = d.Template
	}
	if d.Order == "strict" {
		delete(body, "in_flight")
	}
	var made deliveryInfo
	if err := c.call(ctx, app, http.MethodPut, nil, body, &made, name.segment()); err != nil {
		return err
	}
	secret := ""
	if made.Kind != "webhook" { // for a webhook, put makes one
		secret = " --secret-file FILE"
	}
	return app.print("%s: %s, %d events behind, %s; it waits for its URL at %s: "+
		"tidings deliveries put %s --endpoint URL%s", made.Name, made.State, made.LagEvents,
		strings.Join(made.Topics, " "), printable(d.Origin), made.Name, secret)
}
