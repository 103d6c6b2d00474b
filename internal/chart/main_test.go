package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestPicture: the chart in README is drawn from the raw figures beside it.
func TestPicture(t *testing.T) {
	t.Parallel()
	figures, err := os.Open("../../docs/bench/peers.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer figures.Close()
	var drawn bytes.Buffer
	if err := draw(figures, &drawn); err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile("../../docs/bench/peers.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shown, drawn.Bytes()) {
		t.Error("docs/bench/peers.svg is not of docs/bench/peers.ndjson: " +
			"go run ./internal/chart <docs/bench/peers.ndjson >docs/bench/peers.svg")
	}
}

// TestDrawRefuses: figures that are invalid or lack a row make no chart.
func TestDrawRefuses(t *testing.T) {
	t.Parallel()
	for _, figures := range []string{"", "{", `{"row":"publish-64","server":"nchan","ServerUsPer":1}`} {
		if err := draw(strings.NewReader(figures), &bytes.Buffer{}); err == nil {
			t.Errorf("%q is drawn", figures)
		}
	}
}

// TestTable: the table in docs/BENCHMARKS.md is made of the raw figures.
func TestTable(t *testing.T) {
	t.Parallel()
	figures, err := os.Open("../../docs/bench/peers.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer figures.Close()
	var table strings.Builder
	if err := tabulate(figures, &table); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/BENCHMARKS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), table.String()) {
		t.Errorf("docs/BENCHMARKS.md has another table: go run ./internal/chart -table <docs/bench/peers.ndjson\n%s", &table)
	}
}
