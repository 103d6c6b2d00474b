package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"

	"tidings/alert"
	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/replay"
	"tidings/store"
)

// deliverFlags say what the server may reach by itself, and with which key it keeps secrets.
type deliverFlags struct {
	SecretsKeyFile string   `help:"File with the key that URLs and secrets of deliveries are sealed under; made at first use, and secrets.key in the data directory unless named. Keep a copy, apart from the backups." type:"path" placeholder:"FILE"`
	DeliverTo      []subnet `help:"Network that deliveries may reach though it is not public, such as 10.0.0.0/8; repeatable." placeholder:"CIDR"`
	DeliverHTTP    bool     `name:"deliver-http" help:"Let deliveries go to http:// too, for everybody on the way to read and change."`
	DeliverProxy   bool     `help:"Let deliveries go through the proxy that HTTPS_PROXY and HTTP_PROXY name; a proxy does not look at addresses as the server does."`
	ConsoleURL     string   `name:"console-url" help:"Where people open the console of this server, such as https://events.example.com: what deliveries send to people links to events there." placeholder:"URL"`
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
	return nil
}

// sender starts to deliver. The other flags name the listeners that nothing is delivered to.
func (d *deliverFlags) sender(log store.Log, tail *replay.Tail, alerts *alert.Board, dataDir string,
	logger *slog.Logger, listeners ...string) (*deliver.Sender, error) {
	path := cmp.Or(d.SecretsKeyFile, filepath.Join(dataDir, "secrets.key"))
	warnIfOpen(path, logger)
	o := outbound.Options{HTTP: d.DeliverHTTP, Proxy: d.DeliverProxy}
	for _, allowed := range d.DeliverTo {
		o.Allow = append(o.Allow, netip.Prefix(allowed))
	}
	for _, address := range listeners {
		if at, err := net.ResolveTCPAddr("tcp", address); address != "" && err == nil {
			own := at.AddrPort()
			if !own.Addr().IsValid() { // of all addresses
				own = netip.AddrPortFrom(netip.IPv6Unspecified(), own.Port())
			}
			o.Own = append(o.Own, own)
		}
	}
	return deliver.New(log, tail, deliver.Options{Guard: outbound.New(o), Key: seal.NewFile(path), Version: version(),
		Wants: alerts.Wants, Console: d.ConsoleURL, Logger: logger})
}
