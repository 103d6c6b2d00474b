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

// deliverFlags say what the server may reach by itself, and with which key it keeps secrets.
type deliverFlags struct {
	SecretsKeyFile       string        `help:"File with the key that URLs and secrets of deliveries are sealed under; made at first use, and secrets.key in the data directory unless named. Keep a copy, apart from the backups." type:"path" placeholder:"FILE"`
	DeliverTo            []subnet      `help:"Network that deliveries may reach though it is not public, such as 10.0.0.0/8; repeatable." placeholder:"CIDR"`
	DeliverHTTP          bool          `name:"deliver-http" help:"Let deliveries go to http:// too, for everybody on the way to read and change."`
	DeliverProxy         bool          `help:"Let deliveries go through the proxy that HTTPS_PROXY and HTTP_PROXY name; a proxy does not look at addresses as the server does."`
	PushContact          string        `help:"Where operators of push services reach you: mailto:ops@example.com, or a URL. With it browsers can be registered for pushes; without it nothing is pushed." placeholder:"URL"`
	PushTo               []subnet      `help:"Network that push services of your own may be in though it is not public, such as 10.0.0.0/8; repeatable. Whoever may register a device may have the server send there, by http:// too." placeholder:"CIDR"`
	PushGrace            time.Duration `default:"168h" help:"Time for which a device is pushed to after the token that it was registered with has ended."`
	MaxDevicesPerSubject int           `default:"20" help:"Devices of one subject."`
	ConsoleURL           string        `name:"console-url" help:"Where people open the console of this server, such as https://events.example.com: what deliveries send to people links to events there." placeholder:"URL"`
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

// begin begins to send and to take steps, as long as the server may, by the options of the server. listeners are those
// of this server, to which nothing is sent.
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
		guard := outbound.New(outbound.Options{Allow: prefixesOf(d.PushTo), HTTP: len(d.PushTo) > 0, Own: own,
			Push: true})
		desk.Devices, err = deliver.NewDevices(log, deliver.PushOptions{Guard: guard, Key: key, Contact: d.PushContact,
			Grace: d.PushGrace, PerOwner: d.MaxDevicesPerSubject, Visible: pages.Visible, May: may,
			Version: version(), Logger: o.Logger})
	}
	if err != nil {
		desk.Close()
		return api.Desk{}, fmt.Errorf("deliveries: %w", err)
	}
	return desk, nil
}

// prefixesOf are the networks that a flag names.
func prefixesOf(flag []subnet) (list []netip.Prefix) {
	for _, allowed := range flag {
		list = append(list, netip.Prefix(allowed))
	}
	return list
}

// addressesOf are those of listeners, by the flags that name them.
func addressesOf(listeners []string) (list []netip.AddrPort) {
	for _, address := range listeners {
		if at, err := net.ResolveTCPAddr("tcp", address); address != "" && err == nil {
			own := at.AddrPort()
			if !own.Addr().IsValid() { // of all addresses
				own = netip.AddrPortFrom(netip.IPv6Unspecified(), own.Port())
			}
			list = append(list, own)
		}
	}
	return list
}
