package deliver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/go-json-experiment/json" // a start reads a hundred thousand rows

	"tidings/internal/webpush"
	"tidings/store"
)

const (
	maxDeviceName = 100  // bytes
	maxPage       = 1024 // bytes of a page's URL, which is in each message

	rowOfDevices  = "\x00push"
	rowsOfDevices = rowOfDevices + "\x00"
)

// Urgencies are how soon a push must arrive, the least urgent first (RFC 8030 §5.3). A phone that saves its battery
// delays all but the last.
var Urgencies = []string{"very-low", "low", "normal", "high"}

const defaultUrgency = "normal"

// Registration is what a browser registers.
type Registration struct {
	Owner   string    // auth.Grant.Owner
	Expires time.Time // of the grant; zero: never

	Endpoint, P256dh, Auth string // of its PushSubscription

	Topics   store.Filter // covered by its grant
	Mark     string       // the owner's read mark whose unread events are counted; "": none
	Page     string       // opened by a click
	Name     string       // for people; may be ""
	Language string       // of its texts; "" is en
	Urgency  string       // one of Urgencies; "" is normal
}

// DeviceState is the state of a device's pushes.
type DeviceState string

const (
	DeviceActive  DeviceState = "active"  // pushes are sent
	DeviceFailing DeviceState = "failing" // the last push failed, and is retried
	DeviceExpired DeviceState = "expired" // its grant has ended; it is pushed to during the grace only
	DeviceHeld    DeviceState = "held"    // the log was restored
)

// DeviceStates are all device states.
var DeviceStates = []DeviceState{DeviceActive, DeviceFailing, DeviceExpired, DeviceHeld}

// Device is one of a person's browsers. The address at its push service is a secret, and not included.
type Device struct {
	ID       string // a digest of the endpoint, keyed by the log
	Owner    string
	Name     string
	Topics   []string
	Mark     string
	Language string
	Urgency  string
	Service  string // origin of the push service
	Made     time.Time
	Renewed  time.Time // the last registration
	Expires  time.Time // of the grant; zero: never
	At       store.ID  // matching events up to here were pushed, or need not be
	State    DeviceState
	Answered int    // HTTP status of the last attempt, while failing; 0: no answer
	Failure  string // of the last attempt, while failing. May name addresses of the network: not for the owner
}

// deviceID is a digest of an endpoint.
type deviceID [16]byte

func (id deviceID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func parseDeviceID(text string) (id deviceID, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return deviceID(append(b, make([]byte, len(id))...)), err == nil && len(b) == len(id)
}

// deviceIDOf derives the ID from an endpoint, so that a browser that registers again is the same device.
func deviceIDOf(secret [32]byte, endpoint string) deviceID {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("device\n" + endpoint))
	return deviceID(mac.Sum(nil))
}

// device is a device in memory. There may be a hundred thousand, so strings that many have are shared. The Devices' mu
// guards it.
type device struct {
	id       deviceID
	owner    string
	topics   string // patterns, separated by spaces
	mark     string
	name     string
	language string
	urgency  string
	service  string
	sealed   []byte // an address

	made, renewed, expires int64 // Unix milliseconds; expires 0: never

	at   store.ID
	sent int64 // when the last push was taken; 0: none since the start
	due  *dueDevice
}

// dueDevice is a device's additional state while something is due to it.
type dueDevice struct {
	after    store.ID // nothing up to here is due to it
	newest   store.ID // newest event found to match
	ring     store.ID // the newest of those to push at once; zero: none known
	rang     store.ID // nothing up to here still rings; zero: not checked
	next     time.Time
	attempts int // failed ones
	first    time.Time
	answered int // status of the last attempt; 0: no answer
	failure  string
	kept     bool      // it is in the device's row: it waits longer than a start should read back
	in       *schedule // where it waits; nil: being sent
	place    int       // its index there
}

// deviceRow is what the log keeps of a device beside its position, as JSON.
type deviceRow struct {
	Version  int           `json:"version"`
	Owner    string        `json:"owner"`
	Topics   string        `json:"topics"`
	Mark     string        `json:"mark,omitzero"`
	Name     string        `json:"name,omitzero"`
	Language string        `json:"language,omitzero"`
	Urgency  string        `json:"urgency,omitzero"`
	Service  string        `json:"service"`
	Sealed   []byte        `json:"sealed"`
	Made     int64         `json:"made"`
	Renewed  int64         `json:"renewed"`
	Expires  int64         `json:"expires,omitzero"`
	Due      *deviceDueRow `json:"due,omitzero"`
}

type deviceDueRow struct {
	Attempts int    `json:"attempts"`
	First    int64  `json:"first"`
	Next     int64  `json:"next"`
	Answered int    `json:"answered,omitzero"`
	Failure  string `json:"failure"`
}

func devicePurpose(id deviceID) string { return "device " + id.String() }

func deviceRowName(id deviceID) string { return rowsOfDevices + id.String() }

// row is the device as the log stores it.
func (d *device) row() store.NamedDelivery {
	r := deviceRow{recordVersion, d.owner, d.topics, d.mark, d.name, d.language, d.urgency, d.service, d.sealed, d.made,
		d.renewed, d.expires, nil}
	if d.due != nil && d.due.kept {
		r.Due = &deviceDueRow{d.due.attempts, d.due.first.UnixMilli(), d.due.next.UnixMilli(), d.due.answered,
			d.due.failure}
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // it has nothing that could fail
	}
	return store.NamedDelivery{Name: deviceRowName(d.id), Delivery: store.Delivery{ID: d.at, Record: text}}
}

// parseDevice reads a row.
func parseDevice(stored *store.NamedDelivery) (*device, error) {
	id, ok := parseDeviceID(strings.TrimPrefix(stored.Name, rowsOfDevices))
	var r deviceRow
	switch {
	case !ok:
		return nil, fmt.Errorf("invalid name %q", stored.Name)
	case stored.Record == nil:
		return nil, fmt.Errorf("checksum mismatch")
	}
	if err := json.Unmarshal(stored.Record, &r); err != nil {
		return nil, err
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("it has version %d, this release reads %d", r.Version, recordVersion)
	}
	if languages[r.Language] == nil {
		return nil, fmt.Errorf("this release has no texts in its language %q", r.Language)
	}
	d := &device{id: id, owner: r.Owner, topics: r.Topics, mark: r.Mark, name: r.Name, language: r.Language,
		urgency: r.Urgency, service: r.Service, sealed: r.Sealed, made: r.Made, renewed: r.Renewed, expires: r.Expires,
		at: stored.ID}
	if r.Due != nil {
		d.due = &dueDevice{after: d.at, attempts: r.Due.Attempts, kept: true,
			first: time.UnixMilli(r.Due.First), next: time.UnixMilli(r.Due.Next),
			answered: r.Due.Answered, failure: r.Due.Failure}
	}
	return d, nil
}

// renew updates the device from a new registration for the same owner and topics.
func (d *device) renew(as *device) {
	as.share()
	d.mark, d.name, d.language, d.urgency = as.mark, as.name, as.language, as.urgency
	d.sealed, d.renewed, d.expires = as.sealed, as.renewed, as.expires
}

// share makes its strings share memory with equal ones.
func (d *device) share() {
	d.service, d.language = unique.Make(d.service).Value(), unique.Make(d.language).Value()
	d.urgency, d.mark = unique.Make(d.urgency).Value(), unique.Make(d.mark).Value()
}

// ended reports whether the device no longer gets anything.
func (d *device) ended(now time.Time, grace time.Duration) bool {
	return d.expires != 0 && !now.Before(time.UnixMilli(d.expires).Add(grace))
}

// state returns the state of its pushes.
func (d *device) state(now time.Time, held bool) DeviceState {
	switch {
	case held:
		return DeviceHeld
	case d.due != nil && d.due.attempts > 0:
		return DeviceFailing
	case d.ended(now, 0):
		return DeviceExpired
	}
	return DeviceActive
}

// describe returns what others may know of it.
func (d *device) describe(now time.Time, held bool) Device {
	shown := Device{ID: d.id.String(), Owner: d.owner, Name: d.name, Topics: strings.Fields(d.topics), Mark: d.mark,
		Language: d.language, Urgency: d.urgency, Service: d.service, Made: time.UnixMilli(d.made),
		Renewed: time.UnixMilli(d.renewed), At: d.at, State: d.state(now, held)}
	if d.expires != 0 {
		shown.Expires = time.UnixMilli(d.expires)
	}
	if shown.State == DeviceFailing {
		shown.Answered, shown.Failure = d.due.answered, d.due.failure
	}
	return shown
}

// address is the sealed part of a device.
type address struct {
	target   *webpush.Target
	endpoint string
	page     string
}

func (a *address) bytes() []byte {
	return append(a.target.Bytes(), a.endpoint+"\n"+a.page...)
}

func parseAddress(text []byte) (a address, err error) {
	if len(text) < webpush.TargetSize {
		return a, webpush.ErrTarget
	}
	endpoint, page, _ := bytes.Cut(text[webpush.TargetSize:], []byte("\n"))
	a.endpoint, a.page = string(endpoint), string(page)
	a.target, err = webpush.ParseTarget(text[:webpush.TargetSize])
	return a, err
}

// check checks a registration, and returns what to seal. Errors: *InvalidError, an outbound.Refused.
func (p *Devices) check(r *Registration) (a address, service string, err error) {
	u, err := p.checkEndpoint(r.Endpoint)
	if err != nil {
		return a, "", err
	}
	if a.target, err = webpush.NewTarget(r.P256dh, r.Auth); err != nil {
		return a, "", &InvalidError{"subscription", err.Error()}
	}
	page, err := url.Parse(r.Page)
	switch {
	case err != nil || page.Host == "" || page.Scheme != "https" && page.Scheme != "http" || page.User != nil ||
		len(page.String()) > maxPage:
		return a, "", &InvalidError{"page", fmt.Sprintf("expected the URL of the page that a click opens, of at most %d "+
			"bytes, such as https://shop.example.com/orders", maxPage)}
	case r.Topics.IsZero():
		return a, "", &InvalidError{"topics", "a device needs topics"}
	case len(r.Topics.Patterns()) > maxDeviceTopics ||
		len(r.Topics.Patterns())+strings.Count(r.Topics.String(), ".") > maxDeviceSegments:
		return a, "", &InvalidError{"topics", fmt.Sprintf("at most %d patterns, of %d segments in all", maxDeviceTopics,
			maxDeviceSegments)}
	case len(r.Name) > maxDeviceName || r.Name != clean(r.Name):
		return a, "", &InvalidError{"name", fmt.Sprintf("expected one line of at most %d bytes", maxDeviceName)}
	case languages[r.Language] == nil:
		return a, "", &InvalidError{"language", `expected "en" or "zh"`}
	case !slices.Contains(Urgencies, r.Urgency):
		return a, "", &InvalidError{"urgency", "expected one of " + listed(Urgencies)}
	}
	a.endpoint, a.page = u.String(), page.String()
	return a, u.Scheme + "://" + u.Host, nil
}
