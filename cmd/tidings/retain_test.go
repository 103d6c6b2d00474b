package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"tidings/internal/retention"
)

func TestRetainFlags(t *testing.T) {
	day := 24 * time.Hour
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(strings.Fields(
		"serve --retain-age 30d --retain-age=orders.>=1d12h --retain-age a=90s --retain-events *.x=1000 --retain-bytes 10GiB --retain-bytes b=5")); err != nil {
		t.Fatal(err)
	}
	want := retention.Policy{
		Age: []retention.Limit[time.Duration]{{Max: 30 * day},
			{Pattern: "orders.>", Max: day + 12*time.Hour}, {Pattern: "a", Max: 90 * time.Second}},
		Events: []retention.Limit[uint64]{{Pattern: "*.x", Max: 1000}},
		Bytes:  []retention.Limit[uint64]{{Max: 10 << 30}, {Pattern: "b", Max: 5}},
	}
	if diff := cmp.Diff(want, c.Serve.policy()); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

func TestRetainFlagsRefuse(t *testing.T) {
	for args, want := range map[string]string{
		"--retain-age 30":                         "--retain-age: expected an age above 0",
		"--retain-age 0s":                         "--retain-age: expected an age above 0",
		"--retain-age=-1d":                        "--retain-age: expected an age above 0",
		"--retain-age a=":                         "--retain-age: expected an age above 0",
		"--retain-age =1d":                        "--retain-age: expected an age above 0",
		"--retain-events =1":                      "--retain-events: expected a number of events above 0",
		"--retain-bytes =1GiB":                    "--retain-bytes: expected bytes above 0",
		"--retain-events 1k":                      "--retain-events: expected a number of events above 0",
		"--retain-events a=0":                     "--retain-events: expected a number of events above 0",
		"--retain-bytes a=b=1":                    "--retain-bytes: expected bytes above 0",
		"--retain-bytes 0":                        "--retain-bytes: expected bytes above 0",
		"--retain-bytes a..b=1":                   `--retain-bytes: invalid pattern "a..b"`,
		"--retain-events 1 --retain-events 2":     "--retain-events: the whole log has two limits",
		"--retain-events a=1 --retain-events a=2": "--retain-events: a has two limits",
		"--trim-interval 0s":                      "--trim-interval: expected a duration above 0",
		"--retain-age a=1h --retain-age a=2h":     "--retain-age: a has two limits, 1h0m0s and 2h0m0s",
	} {
		got := runCLI(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir",
			t.TempDir()}, strings.Fields(args)...)...).ended(t, exitUsage)
		if !strings.Contains(got.stderr, want) {
			t.Errorf("%s: stderr %q, want %q", args, got.stderr, want)
		}
	}
}

// TestServeTrims: a server trims by its flags while it runs, reports the limits, and stops in order.
func TestServeTrims(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir(), "--retain-events", "orders=2",
		"--trim-interval", "1ms")
	info := func() (log struct {
		Events    int
		Retention struct{ Events []struct{ Pattern string } }
	}) {
		resp, err := http.Get(url + "/v1/log")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil {
			err = json.Unmarshal(body, &log)
		}
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	for range 5 {
		runCLI(t, "publish", "--url", url, "orders", "1").ended(t, exitOK)
		runCLI(t, "publish", "--url", url, "tickets", "1").ended(t, exitOK)
	}
	log := info()
	for log.Events > 7 {
		log = info()
	}
	if limits := log.Retention.Events; log.Events != 7 || len(limits) != 1 ||
		limits[0].Pattern != "orders" {
		t.Errorf("the log says %+v, want 7 events and the limit of orders", log)
	}
}
