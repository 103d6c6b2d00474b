package examples_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) { t.Parallel(); testAdmin(t, "/plain.html", nil) })
	t.Run("vue", func(t *testing.T) {
		t.Parallel()
		needPackages(t)
		testAdmin(t, "/vue/", nil)
	})
	t.Run("react", func(t *testing.T) {
		t.Parallel()
		needPackages(t)
		app := filepath.Join(t.TempDir(), "app.js")
		if out, err := exec.Command("npm", "--prefix", "admin", "run", "build", "--",
			"--outfile="+app).CombinedOutput(); err != nil {
			t.Fatalf("build the page: %v\n%s", err, out)
		}
		testAdmin(t, "/react/", map[string]string{"/react/app.js": app})
	})
}

func needPackages(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("admin/node_modules"); err != nil {
		t.Skip("the packages are not installed: npm ci --prefix examples/admin")
	}
}

// testAdmin: the page shows what has arrived since alerts were last seen, each once, wherever the page and the server
// were meanwhile; and it shows text, whatever it contains.
func testAdmin(t *testing.T, page string, built map[string]string) {
	s := newPlace(t)
	site := serveFolder(t, "admin", s.url(), built)
	s.start(t, nil, "--cors-origin", site)
	s.publish(t, "orders", "order.created", `{"order":1}`)
	browser := newProfile(t)

	tb := browser.open(t, site+page)
	tb.await(t, linesOf("alerts"), `order.created {"order":1}`)
	tb.await(t, textOf("state"), "live")
	s.publish(t, "customers", "customer.created", `{"customer":1}`)
	s.publish(t, "comments", "comment.created", `{"text":"<img src=x onerror='hacked = 1'>"}`)
	s.publish(t, "tickets.eu", "<b>urgent</b>", `null`)
	tb.await(t, linesOf("alerts"), `<b>urgent</b> null
comment.created {"text":"<img src=x onerror='hacked = 1'>"}
order.created {"order":1}`)
	if got := tb.value(t, "document.querySelector('img, b') || window.hacked"); got != "undefined" {
		t.Errorf("text became markup: %s", got)
	}
	tb.await(t, textOf("badge"), "3")
	tb.do(t, chromedp.Click("#seen"))
	tb.await(t, linesOf("alerts"), "")
	tb.await(t, textOf("badge"), "")
	tb.close(t)

	s.publish(t, "orders", "order.created", `{"order":2}`)
	s.Kill()
	s.start(t, nil, "--cors-origin", site)
	s.publish(t, "orders", "order.paid", `{"order":2}`)

	tb = browser.open(t, site+page)
	tb.await(t, linesOf("alerts"), "order.paid {\"order\":2}\norder.created {\"order\":2}")
	tb.await(t, textOf("state"), "live")
	s.Kill()
	tb.await(t, textOf("state"), "connecting")
	s.start(t, nil, "--cors-origin", site)
	s.publish(t, "orders", "order.created", `{"order":3}`)
	all := "order.created {\"order\":3}\norder.paid {\"order\":2}\norder.created {\"order\":2}"
	tb.await(t, linesOf("alerts"), all)
	tb.do(t, chromedp.Reload())
	tb.await(t, linesOf("alerts"), all)
}

// TestAlarm: an order rings on the page until somebody has taken it.
func TestAlarm(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	site := serveFolder(t, "admin", s.url(), nil)
	s.start(t, nil, "--cors-origin", site)
	rule, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url()+"/v1/alerts/orders",
		strings.NewReader(`{"topics":["orders"],"types":["order.created"]}`))
	if err != nil {
		t.Fatal(err)
	}
	rule.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(rule)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusCreated {
		t.Fatalf("the rule: %s", resp.Status)
	}
	tb := newProfile(t).open(t, site+"/alarm.html")
	tb.await(t, "document.querySelector('tidings-alarm').open", "0")
	s.publish(t, "orders", "order.created", `{"order":1}`)
	const rings = "document.querySelector('tidings-alarm').ringing + ' ' + document.body.className"
	tb.await(t, rings, "true ringing")
	tb.value(t, "document.querySelector('tidings-alarm').shadowRoot.querySelector('[part~=claim]').click()")
	tb.await(t, rings, "false ")
	tb.await(t, "document.querySelector('tidings-alarm').alerts[0].holder.name", "Ana")
}
