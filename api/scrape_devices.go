package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"tidings/deliver"
)

// collectDevices reports pushes. No label names a device, a subject or a push service.
func (s scrape) collectDevices(out sink) {
	devices := s.desk.Load().Devices
	if devices == nil {
		return
	}
	stats := devices.Stats()
	for _, state := range deliver.DeviceStates {
		out.gauge("tidings_devices", "Devices that receive pushes.", float64(stats.States[state]),
			prometheus.Labels{"state": string(state)})
	}
	const pushes, meaning = "tidings_pushes_total",
		"Pushes: sent: accepted by a push service; failed: attempts that were not; spared: not sent as the person " +
			"has read, or has a page in view."
	out.counter(pushes, meaning, stats.Sent, prometheus.Labels{"outcome": "sent"})
	out.counter(pushes, meaning, stats.Failed, prometheus.Labels{"outcome": "failed"})
	out.counter(pushes, meaning, stats.Spared, prometheus.Labels{"outcome": "spared"})
	const removed, why = "tidings_devices_removed_total",
		"Devices removed by the server: gone (reported by their push service) or expired (their grant ended)."
	out.counter(removed, why, stats.Gone, prometheus.Labels{"reason": "gone"})
	out.counter(removed, why, stats.Expired, prometheus.Labels{"reason": "expired"})
	out.gauge("tidings_pushes_due", "Devices with a push pending.", float64(stats.Due), nil)
	failing := 0.0
	if !stats.Failing.IsZero() {
		failing = max(0, s.o.Now().Sub(stats.Failing).Seconds())
	}
	out.gauge("tidings_push_failing_seconds", "How long the longest-failing push has been failing; 0 without one.",
		failing, nil)
}
