package deliver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/store"
)

// Settings are an administrator's settings for a delivery. A zero field stays as it is, or takes the default in a new
// delivery, which requires a URL and topics, and for most kinds a secret.
type Settings struct {
	Recipient
	URL         string
	Topics      store.Filter
	Format      Format         // default CloudEvents
	GiveUpAfter time.Duration  // at least MinGiveUpAfter; default DefaultGiveUpAfter
	OnGiveUp    OnGiveUp       // default Stop if strict, else SetAside
	Order       Order          // default Strict
	InFlight    int            // requests at once, unless strict; default DefaultInFlight
	Secret      string         // for a Webhook in the form of Standard Webhooks: whsec_ and base64
	Overlap     *time.Duration // how long the last secret still signs; nil: DefaultOverlap
	From        *store.ID      // where a new one starts; nil: after the newest event
	Incomplete  bool           // a new one may lack URL and secret; it waits for both

	Tag *string                  // the delivery must have this tag, or not exist if it is empty; nil: whatever it has
	By  string                   // who makes the change
	May func(store.Filter) error // whether they may send these topics; its error is Put's
}

// InvalidError is a setting that breaks a rule.
type InvalidError struct{ Field, Detail string }

func (e *InvalidError) Error() string { return e.Field + ": " + e.Detail }

// Put creates or changes a delivery, durably. It sends by the new settings from its current position; if paused or
// stopped it stays so. A request under way is cut off and made again, and a run ends; refused settings do neither.
// Errors: *InvalidError, an outbound.Refused, ErrChanged, ErrLimit, ErrKey, those of seal, of the log, and of May.
func (s *Sender) Put(ctx context.Context, name string, set Settings) (status Status, made bool, err error) {
	s.operations.Lock()
	defer s.operations.Unlock()
	s.mu.Lock()
	old, count := s.deliveries[name], len(s.deliveries)
	expected := set.expects(old)
	s.mu.Unlock()
	if !expected {
		return Status{}, false, ErrChanged
	}
	if old == nil && count >= MaxDeliveries {
		return Status{}, false, fmt.Errorf("%w: at most %d", ErrLimit, MaxDeliveries)
	}
	d := &delivery{name: name, at: s.log.Head(), record: record{Version: recordVersion, Log: s.logID,
		Recipient: Recipient{Kind: Webhook}, Format: CloudEvents, GiveUp: duration{DefaultGiveUpAfter}, By: set.By,
		Made: now()}}
	made = old == nil || old.damaged
	switch {
	case made && set.From != nil:
		d.at = *set.From
	case !made && set.From != nil:
		return Status{}, false, &InvalidError{"from", "it sets where a new delivery starts; this one exists"}
	case !made:
		if err := s.check(old, set); err != nil {
			return Status{}, false, err
		}
		old.halt()
		s.endRun(old)
	}
	last := s.inherit(d, old)
	if err = s.apply(d, set, made); err == nil {
		d.refit(last)
		err = s.enter(ctx, d)
	}
	if err != nil {
		if old != nil && !old.damaged {
			s.start(old)
		}
		return Status{}, false, err
	}
	s.start(d)
	status, err = s.Get(name)
	return status, made, err
}

// expects reports whether this is the delivery, nil if none, that the settings are for. One that is damaged has lost
// its settings: it counts as one that does not exist, too.
func (set *Settings) expects(old *delivery) bool {
	switch {
	case set.Tag == nil:
		return true
	case *set.Tag == "":
		return old == nil || old.damaged
	}
	return old != nil && old.record.tag() == *set.Tag
}

// check is apply without an effect, so that refused settings disturb nothing under way.
func (s *Sender) check(old *delivery, set Settings) error {
	s.mu.Lock()
	d := &delivery{name: old.name, record: old.record}
	s.mu.Unlock()
	return s.apply(d, set, false)
}

// enter writes a delivery, and puts it in place of the one of its name.
func (s *Sender) enter(ctx context.Context, d *delivery) error {
	return s.alone(func() error {
		err := s.put(ctx, []*delivery{d}, false)
		if err == nil {
			s.mu.Lock()
			s.deliveries[d.name] = d
			s.mu.Unlock()
		}
		return err
	})
}

// inherit copies the state of the delivery that d replaces, if any; of a damaged one, only its dead letters. It returns
// the order that the lanes were made with, "" if they do not fit the new delivery.
func (s *Sender) inherit(d, old *delivery) (last Order) {
	if old == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !old.damaged {
		d.at, d.record, d.sent = old.at, old.record, old.sent
		last = d.record.order()
	}
	d.dead, d.run = slices.Clone(old.dead), old.run
	for name, r := range old.unwritten {
		d.setRow(name, r.record)
	}
	for key, l := range old.lanes {
		l := d.putLane(key, *l)
		l.written = true // it may be, meanwhile
		d.touch(l)
	}
	d.tryAtOnce()
	return last
}

// apply applies the settings to a record that nobody else has.
func (s *Sender) apply(d *delivery, set Settings, made bool) error {
	r := &d.record
	if err := r.applyRecipient(&set, made); err != nil {
		return err
	}
	switch {
	case set.Incomplete && (set.URL != "" || set.Secret != "" || r.Sealed != nil):
		return &InvalidError{"incomplete", "it cannot be combined with a URL or a secret"}
	case made && set.Topics.IsZero():
		return &InvalidError{"topics", "a new delivery needs topics"}
	case set.Format != "" && set.Format != CloudEvents && set.Format != Data:
		return &InvalidError{"format", fmt.Sprintf("expected %q or %q", CloudEvents, Data)}
	case set.OnGiveUp != "" && set.OnGiveUp != Stop && set.OnGiveUp != SetAside:
		return &InvalidError{"on_give_up", fmt.Sprintf("expected %q or %q", Stop, SetAside)}
	case set.GiveUpAfter != 0 && set.GiveUpAfter < MinGiveUpAfter:
		return &InvalidError{"give_up_after", fmt.Sprintf("expected a duration of at least %s", MinGiveUpAfter)}
	case set.Overlap != nil && *set.Overlap < 0:
		return &InvalidError{"secret_overlap", "expected a duration above 0"}
	}
	if !set.Topics.IsZero() {
		r.Topics = set.Topics.Patterns()
	}
	if set.Format != "" {
		r.Format = set.Format
	}
	if set.GiveUpAfter > 0 {
		r.GiveUp = duration{set.GiveUpAfter}
	}
	if set.OnGiveUp != "" {
		r.OnGiveUp = set.OnGiveUp
	}
	if err := r.applyOrder(set); err != nil {
		return err
	}
	if set.May != nil {
		if err := set.May(r.filter()); err != nil {
			return err
		}
	}
	if set.URL == "" && set.Secret == "" {
		return nil
	}
	return s.applyTarget(d, set)
}

// applyTarget is the part of apply for what is sealed.
func (s *Sender) applyTarget(d *delivery, set Settings) error {
	t := d.record.receiver().traits()
	var to target
	if d.record.Sealed == nil {
		set.URL = cmp.Or(set.URL, t.url)
		switch {
		case set.URL == "":
			return &InvalidError{"url", "the delivery has none yet"}
		case set.Secret == "" && t.secret != "":
			return &InvalidError{"secret", "the delivery has none yet: " + t.secret}
		}
	} else {
		var err error
		to, err = s.open(d)
		if err != nil && (set.URL == "" || set.Secret == "" && !d.record.Changed.IsZero()) {
			return err // the other half is in there
		}
	}
	if set.URL != "" {
		u, err := s.checkURL(t, set.URL)
		if err != nil {
			return err
		}
		origin := u.Scheme + "://" + u.Host
		if t.bearer && to.Secret != "" && set.Secret == "" && origin != d.record.Origin {
			return &InvalidError{"secret", "a new host needs the secret again: a stored one is not sent there"}
		}
		to.URL, d.record.Origin = set.URL, origin
	}
	if set.Secret != "" && set.Secret != to.Secret {
		if err := t.key(set.Secret); err != nil {
			return err
		}
		overlap := DefaultOverlap
		if set.Overlap != nil {
			overlap = *set.Overlap
		}
		to.Previous, to.Until = to.Secret, time.Now().Add(overlap).UTC()
		if to.Previous == "" || overlap == 0 || d.record.Kind != Webhook {
			to.Previous, to.Until = "", time.Time{}
		}
		to.Secret, d.record.Changed = set.Secret, now()
	}
	return s.seal(d, to)
}

func (s *Sender) checkURL(t *traits, text string) (*url.URL, error) {
	parse := t.parse
	if parse == nil {
		parse = (*outbound.Guard).CheckURL
	}
	u, err := parse(s.o.Guard, text)
	if errors.Is(err, outbound.ErrURL) || errors.Is(err, outbound.ErrMailURL) {
		return nil, &InvalidError{"url", err.Error()}
	}
	return u, err
}

// seal seals a target. The key is made at first use, but never in place of a missing one.
func (s *Sender) seal(d *delivery, to target) error {
	if needs := s.needKey(d); needs != "" {
		return fmt.Errorf("%w: delivery %q needs the right %s; put that file back, or delete the deliveries that need "+
			"it", ErrKey, needs, s.o.Key.Path())
	}
	text, err := json.Marshal(to)
	if err != nil {
		return err
	}
	d.record.Sealed, err = s.o.Key.Seal(text, purpose(d.name))
	return err
}

// needKey returns the name of another delivery that needs a key that is not there. One that had a key before may be set
// again under the key that there is: that is the way out if the right one is lost.
func (s *Sender) needKey(but *delivery) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deliveries {
		if d.name == but.name || d.record.Sealed == nil {
			continue
		}
		err := s.o.Key.Check(d.record.Sealed)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, seal.ErrOtherKey) && but.record.Sealed == nil {
			return d.name
		}
	}
	return ""
}

// open returns the sealed target. Errors: those of seal.
func (s *Sender) open(d *delivery) (to target, err error) {
	s.mu.Lock()
	sealed := d.record.Sealed
	to.recipient = d.record.Recipient
	s.mu.Unlock()
	text, err := s.o.Key.Open(sealed, purpose(d.name))
	if err == nil && json.Unmarshal(text, &to) != nil {
		err = seal.ErrDamaged
	}
	return to, err
}
