package natstest

import (
	"time"

	"tidings/internal/e2e"
)

// CPU returns the processor time that the servers have used, where there is a /proc.
func (c *Cluster) CPU() time.Duration {
	c.t.Helper()
	var pids []int
	for _, s := range c.servers {
		pids = append(pids, s.process.Process.Pid)
	}
	return e2e.CPU(c.t, pids...)
}
