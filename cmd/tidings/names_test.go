package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func readRepository(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exported returns the names of a server's metrics, and of the series they consist of.
func exported(t *testing.T) (metrics, series []string) {
	t.Helper()
	url := serving(t, "--data-dir", t.TempDir(), "--push-contact", "mailto:ops@example.com")
	runCLI(t, "alerts", "put", "--url", url, "orders", "--topic", "orders").ended(t, exitOK)
	runCLI(t, "publish", "--url", url, "orders", `{"order":1}`).ended(t, exitOK)
	runCLI(t, "tail", "--url", url, "orders", "--since", "earliest", "--limit",
		"1").ended(t, exitOK)
	_, text := fetch(t, url+"/metrics", "")
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+)`).FindAllStringSubmatch(text, -1) {
		metrics = append(metrics, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)`).FindAllStringSubmatch(text, -1) {
		series = append(series, m[1])
	}
	return metrics, series
}

// TestMetricNames: the metrics that the documentation, the dashboard and the alert rules name exist, and every
// metric is documented and on the dashboard.
func TestMetricNames(t *testing.T) {
	metrics, series := exported(t)
	operating := readRepository(t, "docs", "OPERATING.md")
	for name, text := range map[string]string{
		"docs/OPERATING.md":            operating,
		"deploy/grafana/tidings.json":  readRepository(t, "deploy", "grafana", "tidings.json"),
		"deploy/prometheus/alerts.yml": readRepository(t, "deploy", "prometheus", "alerts.yml"),
	} {
		used := regexp.MustCompile(`\b(tidings|go|process)_[a-z_]+`).FindAllString(text, -1)
		if len(used) == 0 {
			t.Errorf("%s names no metric", name)
		}
		for _, metric := range used {
			if !slices.Contains(metrics, metric) && !slices.Contains(series, metric) {
				t.Errorf("%s names %s, which does not exist", name, metric)
			}
		}
	}
	dashboard := readRepository(t, "deploy", "grafana", "tidings.json")
	for _, metric := range metrics {
		if !strings.HasPrefix(metric, "tidings_") {
			continue
		}
		if !strings.Contains(operating, "| `"+metric+"`") {
			t.Errorf("%s has no row in docs/OPERATING.md", metric)
		}
		if !regexp.MustCompile(`\b` + metric + `(_bucket|_sum)?\b`).MatchString(dashboard) {
			t.Errorf("%s has no panel in deploy/grafana/tidings.json", metric)
		}
	}
}

// TestAlertNames: the documentation says for every alert what to do.
func TestAlertNames(t *testing.T) {
	pattern := regexp.MustCompile(`(?m)^\s*- alert: (\w+)$`)
	var rules, documented []string
	for _, m := range pattern.FindAllStringSubmatch(readRepository(t, "deploy", "prometheus",
		"alerts.yml"), -1) {
		rules = append(rules, m[1])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Tidings\\w+)` \\|").FindAllStringSubmatch(
		readRepository(t, "docs", "OPERATING.md"), -1) {
		documented = append(documented, m[1])
	}
	if len(rules) == 0 || !slices.Equal(rules, documented) {
		t.Errorf("the rules are %v, documented are %v", rules, documented)
	}
}

// TestUnitStarts: this program accepts the command of the systemd unit, and the exit codes after which the unit
// does not restart are those that a restart cannot help.
func TestUnitStarts(t *testing.T) {
	unit := readRepository(t, "deploy", "systemd", "tidings.service")
	command := regexp.MustCompile(`(?m)^ExecStart=\S+/tidings (.*)$`).FindStringSubmatch(unit)
	if command == nil {
		t.Fatal("no ExecStart")
	}
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(strings.Fields(command[1])); err != nil {
		t.Error(err)
	}
	if !strings.Contains(unit, "\nRestartPreventExitStatus=2 3\n") || exitUsage != 2 ||
		exitDamaged != 3 {
		t.Error("the exit codes have moved")
	}
}
