package main

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// byteSize is a flag's number of bytes, plain or with a unit, such as 64MiB or 10GB.
type byteSize int64

// UnmarshalText is called by kong.
func (b *byteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("expected bytes, or a size such as 64MiB, got %q", text)
	}
	*b = byteSize(n)
	return nil
}
