package main

import (
	"log/slog"
	"math"
	"runtime/debug"

	"tidings/alert"
	"tidings/internal/presence"
	"tidings/store/bolt"
)

const (
	// baseMemory is what the server needs beside the in-memory tail and its buffers: the commit queue, and memory
	// for itself.
	baseMemory = 128 << 20

	// widestProxies is the prefix length of the largest network for private use, fc00::/7; for IPv4 that is
	// 10.0.0.0/8.
	widestProxies = 7

	// spareFiles is the number of files open beside the streams: the log, listeners, publishers.
	spareFiles = 200
)

// preflight warns if the machine does not offer what the flags ask for. The server starts all the same: it may
// never need what is missing.
func (c *serveCmd) preflight(logger *slog.Logger) {
	need := int64(c.TailBytes) + 2*int64(c.BufferBytes) + baseMemory
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 && limit < need {
		logger.Warn(
			"GOMEMLIMIT is too low for --tail-bytes and --buffer-bytes: the garbage collector "+
				"would run all the time",
			"limit", limit, "needed", need)
	}
	if files, ok := maxFiles(); ok && files < uint64(c.MaxStreams+spareFiles) {
		logger.Warn(
			"the limit of open files is too low for --max-streams: raise it (ulimit -n, "+
				"LimitNOFILE)",
			"limit",
			files, "needed",
			c.MaxStreams+spareFiles)
	}
	for _, proxy := range c.proxies() {
		if proxy.Bits() < widestProxies {
			logger.Warn("--trusted-proxy covers most of the internet: any client in it can claim "+
				"to be another one, also to rate limits", "network", proxy.String())
		}
	}
	if wait := presence.Settling * c.Heartbeat; wait > alert.DefaultUnheardAfter {
		logger.Warn("--heartbeat is long: a hanging page counts as listening for two of them, and after a start it "+
			"takes three "+
			"until it is reported that nobody hears the alerts of a rule", "heartbeat", c.Heartbeat, "wait", wait)
	}
	c.checkDisk(logger)
	switch kind := fileSystem(c.DataDir); kind {
	case "tmpfs":
		logger.Warn(
			"data directory is on tmpfs: it will not survive a reboot",
			"data_dir", c.DataDir)
	case "nfs":
		logger.Warn(
			"the data directory is on a network file system: locks and fsync may not hold "+
				"there, and an acknowledged event may be lost",
			"data_dir", c.DataDir)
	}
}

// checkDisk warns about a --retain-bytes that the disk cannot hold: publishing would stop before anything is
// trimmed.
func (c *serveCmd) checkDisk(logger *slog.Logger) {
	_, total, err := bolt.DiskSpace(c.DataDir)
	if err != nil {
		return // the disk is unknown then
	}
	room := total - min(total, c.MinFree.of(total))
	for _, limit := range c.RetainBytes {
		if limit.Max > room {
			logger.Warn(
				"--retain-bytes is more than the disk holds above --min-free: publishing stops "+
					"before anything is trimmed",
				"pattern", limit.Pattern, "limit", limit.Max, "disk", total, "room", room)
		}
	}
}
