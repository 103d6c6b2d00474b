package clients_test

import (
	"cmp"
	"net"
	"os"
	"os/exec"
	"testing"

	"tidings/internal/e2e"
)

// startCaddy runs Caddy with deploy/caddy. It gets a ready certificate: the tests contact no certificate authority.
func startCaddy(t *testing.T, o proxyOptions) *runningProxy {
	t.Helper()
	path, dir := e2e.Need(t, "caddy"), t.TempDir()
	addr := freeAddr(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &runningProxy{addr: addr, version: "Caddy " + versionOf(t, path, "version"),
		clients: ownIP(), cert: newCertificate(t)}
	admin := "unix/" + dir + "/admin"
	configure(t, "../../deploy/caddy/Caddyfile", dir+"/Caddyfile",
		"grace_period 10s\n", "grace_period 1s\nadmin "+admin+"\nauto_https off\n",
		siteName+" {\n", "https://"+siteName+":"+port+" {\nbind "+host+"\ntls "+p.cert.certFile+
			" "+p.cert.keyFile+"\n",
		"127.0.0.1:8080", o.upstream,
		"read_timeout 75s", "read_timeout "+cmp.Or(o.readTimeout, "75s"))
	caddy := func(verb string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, append([]string{verb, "--adapter", "caddyfile", "--config",
			dir + "/Caddyfile"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	}
	startProcess(t, caddy("run")).awaitLine(t, "serving initial configuration")
	p.reload = func(t *testing.T) {
		t.Helper()
		if out, err := caddy("reload", "--force", "--address", admin).CombinedOutput(); err != nil {
			t.Fatalf("reload Caddy: %v\n%s", err, out)
		}
	}
	return p
}
