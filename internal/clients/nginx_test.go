package clients_test

import (
	"cmp"
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"tidings/internal/e2e"
)

// startNginx runs nginx with deploy/nginx.
func startNginx(t *testing.T, o proxyOptions) *runningProxy {
	t.Helper()
	path, dir := e2e.Need(t, "nginx"), t.TempDir()
	p := &runningProxy{addr: freeAddr(t), version: versionOf(t, path, "-v"), clients: ownIP(),
		cert: newCertificate(t), endsStreams: true}
	configure(t, "../../deploy/nginx/tidings.conf", dir+"/tidings.conf",
		"server 127.0.0.1:8080;", "server "+o.upstream+";",
		"listen 443 ", "listen "+p.addr+" ",
		"/etc/ssl/certs/tidings.example.com.pem", p.cert.certFile,
		"/etc/ssl/private/tidings.example.com.key", p.cert.keyFile,
		"/var/log/nginx/tidings.log", dir+"/tidings.log",
		"proxy_read_timeout 75s;", "proxy_read_timeout "+cmp.Or(o.readTimeout, "75s")+";")
	temporary := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "scgi", "uwsgi"} {
		temporary += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	configure(t, "../../deploy/nginx/nginx.conf", dir+"/nginx.conf",
		"/run/nginx.pid", dir+"/nginx.pid",
		"/var/log/nginx/error.log", "stderr notice",
		"include /etc/nginx/conf.d/*.conf;", temporary+"include "+dir+"/tidings.conf;",
		"worker_rlimit_nofile 65536;", "", // more than an ordinary user may open
		"worker_connections 32768;", "worker_connections 128;",
		"worker_shutdown_timeout 10s;", "worker_shutdown_timeout 1s;")
	running := startProcess(t, exec.Command(path, "-e", "stderr", "-c", dir+"/nginx.conf", "-g",
		"daemon off;"))
	running.awaitLine(t, "start worker process")
	p.reload = func(t *testing.T) {
		t.Helper()
		// as "nginx -s reload" does
		if err := running.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	return p
}
