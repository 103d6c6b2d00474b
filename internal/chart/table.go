package main

import (
	"fmt"
	"io"
	"strings"
)

// rows of the table, and how each formats its figures.
var rows = []struct {
	row, title, format string
	figures            []figure
}{
	{"publish-1", "publish, 1 connection", "%s k/s, %s µs", []figure{published, cpu}},
	{"publish-64", "publish, 64 connections", "%s k/s, %s µs", []figure{published, cpu}},
	{"publish-256", "publish, 256 connections", "%s k/s, %s µs", []figure{published, cpu}},
	{"ndjson-1", "NDJSON of 1,000, 1 connection", "%s k/s, %s µs", []figure{published, cpu}},
	{"ndjson-4", "NDJSON of 1,000, 4 connections", "%s k/s, %s µs", []figure{published, cpu}},
	{"cloudevents-4", "CloudEvents of 1,000, 4 connections", "%s k/s, %s µs", []figure{published, cpu}},
	{"fanout-1000x50", "fan-out, 1,000 subscribers × 50/s", "÷drv %s, %s µs, p99 %s ms",
		[]figure{ofDriver, cpu, p99}},
	{"fanout-1000x1000", "fan-out, 1,000 × 1,000/s asked", "%s k/s, %s µs, p99 %s ms",
		[]figure{delivered, cpu, p99}},
	{"fanout-100", "fan-out, 100, 64 publishers at full speed", "%s k/s, %s µs",
		[]figure{delivered, cpu}},
	{"idle-5000", "idle, 5,000: each", "%s kB", []figure{memory}},
	{"replay-1", "replay of 20,000 by one", "%s k/s, %s µs", []figure{delivered, cpu}},
	{"replay-100", "replay of 5,000 by 100 at once", "%s k/s, %s µs", []figure{delivered, cpu}},
	{"storm-1000", "storm: 1,000 come back, 500 missed each", "%s s, %s µs", []figure{seconds, cpu}},
}

// tabulate writes the table of the figures in r.
func tabulate(r io.Reader, w io.Writer) error {
	runs, err := read(r)
	if err != nil {
		return err
	}
	columns := append(servers[:len(servers):len(servers)], before)
	var b strings.Builder
	b.WriteString("| |")
	for _, s := range columns {
		fmt.Fprintf(&b, " %s |", s.label)
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", len(columns)+1) + "\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |", row.title)
		for _, s := range columns {
			cell := "–"
			if median(runs, row.row, s.name, row.figures[0]) > 0 {
				figures := make([]any, len(row.figures))
				for i, f := range row.figures {
					figures[i] = number(median(runs, row.row, s.name, f))
				}
				cell = fmt.Sprintf(row.format, figures...)
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}
