// Command chart turns the raw figures in docs/bench/peers.ndjson into what people read: the chart in README.md, a bar
// for each server, and the table in docs/BENCHMARKS.md. Each figure is the median of its row's runs.
//
//	go run ./internal/chart <docs/bench/peers.ndjson >docs/bench/peers.svg
//	go run ./internal/chart -table <docs/bench/peers.ndjson
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

func main() {
	table := flag.Bool("table", false, "write the table instead of the picture")
	flag.Parse()
	write := draw
	if *table {
		write = tabulate
	}
	if err := write(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// run is a line of the raw figures: the result of one run of a row with one server.
type run struct {
	Row, Server string
	ServerUsPer float64 // CPU time of the server per event or delivery, in µs
	DriverUsPer float64 // of the driver, which costs about the same with every server
	PerSec      float64 // deliveries
	Seconds     float64
	Publish     struct{ PerSec float64 }    // events
	DeliverMs   struct{ P99 float64 }       // from the publish to the subscriber
	Idle        struct{ PSSPerSub float64 } // bytes
}

// figure is the value shown for a run.
type figure func(run) float64

func cpu(r run) float64       { return r.ServerUsPer }
func ofDriver(r run) float64  { return r.ServerUsPer / r.DriverUsPer }
func published(r run) float64 { return r.Publish.PerSec / 1000 }
func delivered(r run) float64 { return r.PerSec / 1000 }
func p99(r run) float64       { return r.DeliverMs.P99 }
func memory(r run) float64    { return r.Idle.PSSPerSub / 1000 }
func seconds(r run) float64   { return r.Seconds }

// panel is a row as it is drawn.
type panel struct {
	row, title, unit string
	value            figure
}

var panels = []panel{
	{"publish-64", "Publish, 64 connections", "µs of CPU an event", cpu},
	{"fanout-1000x50", "1,000 subscribers, 50 events/s", "µs of CPU a delivery", cpu},
	{"fanout-100", "100 subscribers, at full speed", "µs of CPU a delivery", cpu},
	{"idle-5000", "An idle subscriber", "kB of memory", memory},
	{"replay-100", "100 read 5,000 events each", "µs of CPU an event", cpu},
	{"storm-1000", "1,000 come back, 500 missed each", "seconds", seconds},
}

type server struct{ name, label, class string }

// before is an earlier commit, which the table compares with as well.
var before = server{name: "before", label: "Tidings, 2b2c69a"}

// servers are in the order of the bars, with what each keeps.
var servers = []server{
	{"tidings", "Tidings", "own"},
	{"floor", "net/http + bbolt", "disk"},
	{"nchan", "Nchan", "memory"},
	{"centrifugo", "Centrifugo", "memory"},
}

const (
	panelWidth, panelHeight = 292, 148
	columns                 = 3
	labels                  = 108 // room for the names
	longest                 = 120 // of a bar
)

// draw draws the chart of the figures in r, one JSON object a line.
func draw(r io.Reader, w io.Writer) error {
	runs, err := read(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	height := (len(panels)+columns-1)/columns*panelHeight + 28
	fmt.Fprintf(&b, head, columns*panelWidth, height)
	for i, p := range panels {
		fmt.Fprintf(&b, "<g transform=\"translate(%d,%d)\">\n", i%columns*panelWidth+8, i/columns*panelHeight)
		if err := p.draw(&b, runs); err != nil {
			return err
		}
		b.WriteString("</g>\n")
	}
	fmt.Fprintf(&b, legend, height-10)
	b.WriteString("</svg>\n")
	_, err = io.WriteString(w, b.String())
	return err
}

func read(r io.Reader) (runs []run, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var one run
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("line %d of the figures: %w", len(runs)+1, err)
		}
		runs = append(runs, one)
	}
	return runs, lines.Err()
}

func (p panel) draw(b *strings.Builder, runs []run) error {
	values := make([]float64, len(servers))
	for i, s := range servers {
		values[i] = median(runs, p.row, s.name, p.value)
	}
	most := slices.Max(values)
	if values[0] == 0 {
		return fmt.Errorf("no figures of Tidings for %s", p.row)
	}
	fmt.Fprintf(b, "<text class=\"title\" y=\"22\">%s</text>\n<text class=\"unit\" y=\"38\">%s</text>\n",
		p.title, p.unit)
	y := 48
	for i, s := range servers {
		if values[i] == 0 {
			continue // not supported by it
		}
		const bar = `<text y="%d">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="13" rx="2"/>`
		fmt.Fprintf(b, bar, y+11, s.label, s.class, labels, y, max(1, values[i]/most*longest))
		end := labels + 5 + values[i]/most*longest
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", end, y+11, number(values[i]))
		y += 20
	}
	return nil
}

// median is the median of a row's runs with a server, 0 if there are none.
func median(runs []run, row, server string, value figure) float64 {
	var all []float64
	for _, r := range runs {
		if r.Row == row && r.Server == server {
			all = append(all, value(r))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.SortFunc(all, cmp.Compare[float64])
	return all[len(all)/2]
}

func number(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", math.Round(v*100)/100)
}

const head = `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img">
<title>Tidings beside Nchan, Centrifugo and a bare server; shorter is better</title>
<style>
text { font: 12px system-ui, sans-serif; fill: #444 }
.title { font-weight: 600; font-size: 13px; fill: #111 }
.unit { font-size: 11px; fill: #666 }
.own { fill: #1f5fbf } .disk { fill: #7a8794 } .memory { fill: #c3cad1 }
@media (prefers-color-scheme: dark) {
text { fill: #c9d1d9 } .title { fill: #f0f3f6 } .unit { fill: #9aa4ae }
.own { fill: #5b9bf3 } .disk { fill: #8a96a3 } .memory { fill: #4a545e }
}
</style>
`

const legend = `<g transform="translate(8,%d)"><rect class="own" width="10" height="10" y="-9"/>
<rect class="disk" width="10" height="10" x="14" y="-9"/><text x="30">an event is on the disk when it is answered</text>
<rect class="memory" width="10" height="10" x="300" y="-9"/><text x="316">events are kept in memory</text>
<text x="520">Shorter is better. Medians of three runs on one machine.</text></g>
`
