package natstest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// CPU returns the processor time that the servers have used, where there is a /proc.
func (c *Cluster) CPU() (used time.Duration) {
	c.t.Helper()
	for _, s := range c.servers {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
		if err != nil {
			c.t.Fatal(err)
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		for _, field := range fields[11:13] { // in user mode and in the kernel, in ticks of 10 ms
			ticks, err := strconv.Atoi(string(field))
			if err != nil {
				c.t.Fatal(err)
			}
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}
