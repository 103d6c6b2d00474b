package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// maxShare caps a share of a disk: trimming needs no more, however large the disk is.
const maxShare = 1 << 30

// leastBytes is the minimum of a number without a unit: below it, something else was meant.
const leastBytes = 1 << 20

// minFree is how much of a disk is left free: bytes, or a share of it.
type minFree struct {
	bytes   uint64
	percent float64
}

// UnmarshalText is called by kong.
func (m *minFree) UnmarshalText(text []byte) (err error) {
	share, isShare := strings.CutSuffix(string(text), "%")
	_, noUnit := strconv.ParseFloat(share, 64)
	if isShare {
		m.percent, err = strconv.ParseFloat(share, 64)
	} else {
		m.bytes, err = humanize.ParseBytes(share)
	}
	if err != nil || !(m.percent >= 0 && m.percent < 100) {
		return fmt.Errorf(
			"expected a size such as 2GiB, or a share of the disk such as 5%%, got %q", text)
	}
	if !isShare && noUnit == nil && 0 < m.bytes && m.bytes < leastBytes {
		return fmt.Errorf("%s would be a number of bytes: write a share of the disk such as 5%%, or a size "+
			"such as 2GiB", text)
	}
	return nil
}

// of returns the bytes to leave free on a disk of this size.
func (m *minFree) of(total uint64) uint64 {
	return m.bytes + min(uint64(float64(total)*m.percent/100), maxShare)
}
