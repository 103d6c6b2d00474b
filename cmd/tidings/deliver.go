package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"tidings/alert"
	"tidings/api"
	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/presence"
	"tidings/internal/seal"
	"tidings/internal/webpush"
	"tidings/replay"
	"tidings/store"
)

// deliverFlags limit what the server may connect to, and name the key that encrypts secrets.
type deliverFlags struct {
	SecretsKeyFile       string        `help:"Key that encrypts delivery URLs and secrets (default: secrets.key in the data directory), created on first use. Keep a copy, apart from the backups." type:"path" placeholder:"FILE"`
	DeliverTo            []subnet      `help:"Allow deliveries to this private network, e.g. 10.0.0.0/8. Repeatable." placeholder:"CIDR"`
	DeliverHTTP          bool          `name:"deliver-http" help:"Allow deliveries over http://, readable and modifiable in transit."`
	DeliverProxy         bool          `help:"Send deliveries through the proxy in HTTPS_PROXY and HTTP_PROXY. A proxy does not check destination addresses as the server does."`
	PushContact          string        `help:"Contact for push services, such as mailto:ops@example.com or a URL. Enables Web Push." placeholder:"URL"`
	PushTo               []subnet      `help:"Allow push services in this private network, e.g. 10.0.0.0/8. Repeatable. Anyone who may register a device can make the server send requests there, http:// included." placeholder:"CIDR"`
	PushGrace            time.Duration `default:"168h" help:"How long to keep pushing to a device after the token that registered it has expired."`
	MaxDevicesPerSubject int           `default:"20" help:"Maximum number of devices per subject."`
	ConsoleURL           string        `name:"console-url" help:"Public URL of the console, e.g. https://events.example.com, for links in messages to people." placeholder:"URL"`
}

func (d *deliverFlags) validate() error {
	if info, err := os.Stat(d.SecretsKeyFile); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("--secrets-key-file: expected a file, got %s", d.SecretsKeyFile)
	}
	u, err := url.Parse(d.ConsoleURL)
	if d.ConsoleURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return errors.New("--console-url: expected a URL such as https://events.example.com, without a user, a query " +
			"and a fragment")
	}
	if d.PushContact != "" && webpush.CheckContact(d.PushContact) != nil {
		return fmt.Errorf("--push-contact: %w, got %q", webpush.ErrContact, d.PushContact)
	}
	if d.MaxDevicesPerSubject < 1 {
		return fmt.Errorf("--max-devices-per-subject: expected 1 or more, got %d", d.MaxDevicesPerSubject)
	}
	return positive("push-grace", d.PushGrace)
}

// begin starts deliveries and alert steps, with the options of the server and for as long as it may send. listeners
// are this server's own; nothing is sent to them.
func (d *deliverFlags) begin(log store.Log, tail *replay.Tail, o *api.Options, may func() bool, dataDir string,
	listeners ...string) (desk api.Desk, err error) {
	path := cmp.Or(d.SecretsKeyFile, filepath.Join(dataDir, "secrets.key"))
	warnIfOpen(path, o.Logger)
	key, own := seal.NewFile(path), addressesOf(listeners)
	guard := outbound.New(outbound.Options{Allow: prefixesOf(d.DeliverTo), HTTP: d.DeliverHTTP, Proxy: d.DeliverProxy,
		Own: own})
	var pages interface { // those of all servers of the log
		alert.Listeners
		Visible(owner string, topics store.Filter) bool
	} = o.Presence
	if o.Nodes != nil {
		pages = o.Nodes.AllPages(presence.Settling * o.Heartbeat)
	}
	desk.Alerts, err = alert.New(log, tail, alert.Options{Listeners: pages, Logger: o.Logger,
		LogTime: func() time.Time { return o.Clock.Status().Now }})
	if err == nil {
		desk.Deliveries, err = deliver.New(log, tail, deliver.Options{Guard: guard, Key: key, Version: version(),
			Wants: desk.Alerts.Wants, May: may, Console: d.ConsoleURL, Logger: o.Logger})
	}
	if err == nil && d.PushContact != "" {
		board, guard := desk.Alerts, outbound.New(outbound.Options{Allow: prefixesOf(d.PushTo),
			HTTP: len(d.PushTo) > 0, Own: own, Push: true})
		desk.Devices, err = deliver.NewDevices(log, deliver.PushOptions{Guard: guard, Key: key, Contact: d.PushContact,
			Grace: d.PushGrace, PerOwner: d.MaxDevicesPerSubject, Visible: pages.Visible, Console: d.ConsoleURL,
			Wants: func(e *store.Event) bool { return board.Wants("", e) }, May: may, Version: version(),
			Logger: o.Logger})
	}
	if err != nil {
		desk.Close()
		return api.Desk{}, fmt.Errorf("deliveries: %w", err)
	}
	return desk, nil
}

// prefixesOf returns the networks of a flag.
func prefixesOf(flag []subnet) (list []netip.Prefix) {
	for _, allowed := range flag {
		list = append(list, netip.Prefix(allowed))
	}
	return list
}

// addressesOf returns the addresses of listeners, as flags name them.
func addressesOf(listeners []string) (list []netip.AddrPort) {
	for _, address := range listeners {
		if at, err := net.ResolveTCPAddr("tcp", address); address != "" && err == nil {
			own := at.AddrPort()
			if !own.Addr().IsValid() { // all addresses
				own = netip.AddrPortFrom(netip.IPv6Unspecified(), own.Port())
			}
			list = append(list, own)
		}
	}
	return list
}
