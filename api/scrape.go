package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/deliver"
	"tidings/internal/presence"
	"tidings/store"
)

// maxLagSample bounds the subscribers whose lag a scrape counts: each may cost reading maxLag events. They are a
// random sample, because their IDs are random.
const maxLagSample = 100

// scrape collects the metrics that are looked up on request. It describes none beforehand, so each appears here once,
// with its name, its meaning and its value.
type scrape struct{ *Server }

// Describe implements prometheus.Collector.
func (s scrape) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s scrape) Collect(ch chan<- prometheus.Metric) {
	out := sink{ch}
	s.collectStats(out)
	s.collectKeys(out)
	s.collectTail(out)
	s.collectBudgets(out)
	s.collectDeliveries(out)
	s.collectDevices(out)
	s.collectAlerts(out)
	if errors.Is(s.log.Ready(), store.ErrDiskHangs) {
		return // the rest would ask the disk
	}
	info, err := s.log.Info()
	if err != nil {
		out.fail(err)
		return
	}
	s.collectLog(out, info)
	s.collectSubscribers(out, info.First)
	s.collectExpiring(out)
}

// sink receives metrics.
type sink struct{ ch chan<- prometheus.Metric }

func desc(name, help string, labels prometheus.Labels) *prometheus.Desc {
	return prometheus.NewDesc(name, help, nil, labels)
}

func (o sink) gauge(name, help string, value float64, labels prometheus.Labels) {
	o.ch <- prometheus.MustNewConstMetric(desc(name, help, labels), prometheus.GaugeValue, value)
}

// flag is a gauge that is 1 or 0.
func (o sink) flag(name, help string, is bool, labels prometheus.Labels) {
	value := 0.0
	if is {
		value = 1
	}
	o.gauge(name, help, value, labels)
}

func (o sink) counter(name, help string, value uint64, labels prometheus.Labels) {
	o.ch <- prometheus.MustNewConstMetric(desc(name, help, labels), prometheus.CounterValue,
		float64(value))
}

func (o sink) histogram(name, help string, h store.Histogram) {
	o.ch <- prometheus.MustNewConstHistogram(desc(name, help, nil), h.Count, h.Sum, h.Buckets)
}

// distribution is of values as of now, so its count and sum go up and down.
func (o sink) distribution(name, help string, values []float64) {
	slices.Sort(values)
	sum, quantiles := 0.0, make(map[float64]float64)
	for _, v := range values {
		sum += v
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 1} {
		if n := len(values); n > 0 {
			quantiles[q] = values[min(n-1, int(q*float64(n)))]
		}
	}
	o.ch <- prometheus.MustNewConstSummary(desc(name, help, nil), uint64(len(values)),
		sum, quantiles)
}

func (o sink) fail(err error) {
	o.ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
}

func (s scrape) collectKeys(out sink) {
	age := 0.0
	if s.o.Verifier != nil {
		fetched, _ := s.o.Verifier.Keys(context.Background()) // tidings_ready reports the error
		if !fetched.IsZero() {
			age = s.o.Now().Sub(fetched).Seconds()
		}
	}
	out.gauge("tidings_token_keys_age_seconds",
		"Time since the key set was fetched; 0 without one, or before the first fetch.", age, nil)
}

func (s scrape) collectStats(out sink) {
	stats := s.log.Stats()
	out.gauge("tidings_open_seconds", "How long opening the log took.", stats.Opening.Seconds(), nil)
	out.gauge("tidings_open_unchecked_bytes",
		"Bytes of the log file that the background check has not reached; 0 when it is done.",
		float64(stats.Unchecked), nil)
	collectCommits(out, stats)
	s.collectCluster(out, stats.Sequence)
	s.collectReady(out)
}

func (s scrape) collectCluster(out sink, stats store.SequenceStats) {
	s.collectNodes(out)
	out.gauge("tidings_cluster_silence_seconds",
		"Time since this server last heard from the cluster that keeps the log; 0 without one.",
		s.silence().Seconds(), nil)
	out.counter("tidings_cluster_attempts_total", "Commits for which the cluster was asked for the next place.",
		stats.Attempts, nil)
	out.counter("tidings_cluster_conflicts_total", "Of these, those that lost the place to another server.",
		stats.Conflicts, nil)
	out.counter("tidings_cluster_unknown_total",
		"Of these, those whose outcome the cluster did not report in time.", stats.Unknown, nil)
	out.gauge("tidings_cluster_lag_commits", "Commits of the cluster that this server has not applied yet.",
		float64(stats.Lag), nil)
	out.gauge("tidings_cluster_lag_seconds", "How long it has been behind, at least; 0 while it is not.",
		stats.Behind.Seconds(), nil)
	var size, limit uint64
	if s.o.StreamSize != nil {
		size, limit = s.o.StreamSize()
	}
	out.gauge("tidings_cluster_stream_bytes", "Bytes of the log in the cluster, before replication; 0 without one.",
		float64(size), nil)
	out.gauge("tidings_cluster_stream_limit_bytes", "The limit on these bytes; 0 if there is none.",
		float64(limit), nil)
	out.flag("tidings_cluster_rebuilt",
		"1 if this server found its mirror of the log damaged at start and rebuilt it.", stats.Rebuilt, nil)
}

// collectNodes reports the servers of the log, including this one; a single server reports only itself.
func (s scrape) collectNodes(out sink) {
	there, lost, off := 1, 0, 0.0
	if s.o.Nodes != nil {
		there = 0
		for _, n := range s.o.Nodes.List() {
			if n.Self {
				off = n.Clock.Seconds()
			}
			if n.Lost() {
				lost++
			} else {
				there++
			}
		}
	}
	const name, help = "tidings_cluster_nodes",
		"Servers of the log, including this one; lost: not heard from for 10 s."
	out.gauge(name, help, float64(there), prometheus.Labels{"state": "there"})
	out.gauge(name, help, float64(lost), prometheus.Labels{"state": "lost"})
	out.gauge("tidings_cluster_clock_seconds",
		"How far the clock of this server is ahead of that of the cluster that keeps the log; negative: behind; 0 without one.",
		off, nil)
	out.flag("tidings_sends",
		"1 while this node sends deliveries and escalates alerts; of several nodes, one does.",
		s.ownDesk() != nil, nil)
}

func collectCommits(out sink, stats store.Stats) {
	out.histogram("tidings_batch_events", "Events stored by one commit.", stats.Batches)
	out.histogram("tidings_fsync_seconds",
		"The disk's share of a commit: writing its pages, and two fsyncs.", stats.Writes)
	out.histogram("tidings_commit_seconds",
		"Duration of a commit, fsync included: of events, trims and read marks.", stats.Commits)
	out.gauge("tidings_commit_age_seconds",
		"Age of the commit in progress; 0 without one.", stats.Committing.Seconds(), nil)
	out.gauge("tidings_queue_requests", "Requests waiting for the committer.",
		float64(stats.Queued), nil)
	out.gauge("tidings_queue_bytes", "Memory of requests not yet committed.",
		float64(stats.QueuedBytes), nil)
	out.gauge("tidings_read_transactions",
		"Open read transactions of the log file; each keeps pages from being reused.",
		float64(stats.Reading), nil)
	out.counter("tidings_idempotency_keys_crowded_total",
		"Idempotency keys forgotten early because there were too many.",
		stats.KeysCrowded, nil)
	out.counter("tidings_trimmed_events_total", "Events deleted, by retention or by hand.",
		stats.Trimmed, nil)
}

func (s scrape) collectReady(out sink) {
	why := s.notReady(context.Background())
	out.flag("tidings_ready",
		"1 while /readyz says ready: the log has not failed, the disk has room and does not hang, "+
			"the token keys are available, and the server is not shutting down.",
		why == nil, nil)
	if s.o.LostLogLines != nil {
		out.counter("tidings_log_lines_lost_total",
			"Log lines that could not be written, or that nobody read in time.",
			s.o.LostLogLines(), nil)
	}
	if s.o.DiskFree == nil || why != nil && why.code == "disk-hangs" {
		return
	}
	switch free, err := s.o.DiskFree(); {
	case err == nil:
		out.gauge("tidings_disk_free_bytes", "Free space on the log's file system.",
			float64(free), nil)
	case !errors.Is(err, errors.ErrUnsupported):
		out.fail(err)
	}
}

func (s scrape) collectTail(out sink) {
	stats := s.tail.Stats()
	const reads, meaning = "tidings_tail_reads_total",
		"Lookups of the next events of a stream or page, by source: the in-memory tail, " +
			"or the log."
	out.counter(reads, meaning, stats.TailReads, prometheus.Labels{"source": "memory"})
	out.counter(reads, meaning, stats.LogReads, prometheus.Labels{"source": "log"})
	out.counter("tidings_tail_wakeups_total", "Subscribers woken by a matching event.",
		stats.Wakeups, nil)
	out.gauge("tidings_tail_bytes", "Memory of the in-memory tail.", float64(stats.Bytes), nil)
	out.gauge("tidings_tail_feeds", "Distinct subscriptions; equal ones share one.",
		float64(stats.Feeds), nil)
}

func (s scrape) collectDeliveries(out sink) {
	sender := s.desk.Load().Deliveries
	if sender == nil {
		return
	}
	stats := sender.Stats()
	for _, state := range deliver.States {
		out.gauge("tidings_deliveries", "Deliveries.", float64(stats.States[state]),
			prometheus.Labels{"state": string(state)})
	}
	const attempts, meaning = "tidings_delivery_attempts_total", "Requests to receivers, by whether they got a 2xx " +
		"response."
	out.counter(attempts, meaning, stats.Sent, prometheus.Labels{"outcome": "sent"})
	out.counter(attempts, meaning, stats.Failed, prometheus.Labels{"outcome": "failed"})
	out.gauge("tidings_delivery_dead_letters", "Events set aside, over all deliveries.",
		float64(stats.Dead), nil)
	failing := 0.0
	if !stats.Oldest.IsZero() {
		failing = max(0, s.o.Now().Sub(stats.Oldest).Seconds())
	}
	out.gauge("tidings_delivery_failing_seconds",
		"How long the failing message has been tried, for the delivery that has failed longest; 0 when none fails.",
		failing, nil)
	out.flag("tidings_delivery_progress_unwritten",
		"1 while delivery progress cannot be written: a restart sends again.", stats.Unwritten, nil)
}

func (s scrape) collectExpiring(out sink) {
	sender := s.desk.Load().Deliveries
	if sender == nil {
		return
	}
	x, err := s.expiry()
	if err != nil {
		out.fail(err)
		return
	}
	n := 0
	for _, d := range sender.List("", deliver.MaxDeliveries) {
		e, err := x.of(&d, nil)
		if err != nil {
			out.fail(err)
			return
		}
		if e != nil {
			n++
		}
	}
	out.gauge("tidings_deliveries_expiring",
		"Deliveries that retention is expected to overtake, deleting events before they are sent.", float64(n), nil)
}

func (s scrape) collectAlerts(out sink) {
	board := s.desk.Load().Alerts
	if board == nil {
		return
	}
	stats := board.Stats()
	for state, n := range stats.States {
		out.gauge("tidings_alerts", "Alerts that are not done.", float64(n), prometheus.Labels{"state": string(state)})
	}
	out.gauge("tidings_alerts_waiting", "Events that raise alerts beyond a rule's limit of open ones.",
		float64(stats.More), nil)
	age := func(since time.Time) float64 {
		if since.IsZero() {
			return 0
		}
		return max(0, s.o.Now().Sub(since).Seconds())
	}
	out.gauge("tidings_alert_open_seconds", "How long the oldest unclaimed alert has been open; 0 without one.",
		age(stats.Oldest), nil)
	out.gauge("tidings_alert_kept_seconds", "Age of the oldest event that an open alert retains; 0 without one.",
		age(stats.Kept), nil)
	out.flag("tidings_alerts_held", "1 while nothing is escalated because the log was restored.", stats.Held, nil)
	out.counter("tidings_alert_steps_total", "Escalation steps taken.", stats.Steps, nil)
	for rule, unheard := range stats.Unheard {
		out.flag("tidings_alert_unheard", "1 while nobody would hear the rule's alerts, during its hours.", unheard,
			prometheus.Labels{"rule": rule})
	}
	for rule, h := range stats.Claims {
		out.ch <- prometheus.MustNewConstHistogram(desc("tidings_alert_claim_seconds",
			"How long alerts were open before they were "+
				"claimed.", prometheus.Labels{"rule": rule}), h.Count, h.Sum, h.Buckets)
	}
}

func (s scrape) collectBudgets(out sink) {
	bodies, noBodies := s.bodies.load()
	answers, noAnswers := s.answers.load()
	out.gauge("tidings_bodies_bytes",
		"Memory of requests whose body is being read or whose events are being stored.",
		float64(bodies), nil)
	out.gauge("tidings_answers_bytes", "Memory of responses being written.",
		float64(answers), nil)
	out.gauge("tidings_buffer_limit_bytes",
		"Limit of each (--buffer-bytes).", float64(s.o.BufferBytes), nil)
	stuck, crowded := s.held.Stuck()
	out.gauge("tidings_stuck_bytes",
		"Memory of stream output that clients have not read (--stuck-bytes).",
		float64(stuck), nil)
	const name, help = "tidings_memory_full_total",
		"Requests and streams refused or cut off, pages cut short and responses left uncompressed, " +
			"because memory ran out for bodies, for responses or for clients that do not read."
	out.counter(name, help, noBodies, prometheus.Labels{"of": "bodies"})
	out.counter(name, help, noAnswers, prometheus.Labels{"of": "answers"})
	out.counter(name, help, crowded, prometheus.Labels{"of": "stuck"})
}

func (s scrape) collectLog(out sink, info store.Info) {
	engine := prometheus.Labels{"engine": info.Engine}
	out.gauge("tidings_log_events", "Retained events.", float64(info.Events), engine)
	out.gauge("tidings_log_bytes", "Size of the retained events' records.",
		float64(info.Bytes), engine)
	out.gauge("tidings_log_file_bytes", "Size of the log file.", float64(info.DiskBytes), engine)
	out.gauge("tidings_log_topics", "Topics ever published to.", float64(info.Topics), engine)
	out.gauge("tidings_log_topics_bare", "Topics without a retained event.", float64(info.Bare), engine)
	out.gauge("tidings_idempotency_keys", "Idempotency keys remembered.", float64(info.Keys), nil)
	now := s.o.Now()
	if !info.First.IsZero() {
		out.gauge("tidings_oldest_event_age_seconds", "Age of the oldest retained event.",
			max(0, now.Sub(info.First.Time()).Seconds()), nil)
		out.gauge("tidings_newest_event_age_seconds", "Age of the newest retained event.",
			max(0, now.Sub(info.Last.Time()).Seconds()), nil)
	}
	behind := 0.0
	if head := s.log.Head(); !head.IsZero() {
		behind = max(0, head.Time().Sub(now).Seconds())
	}
	clock := s.o.Clock.Status()
	out.gauge("tidings_clock_ahead_seconds",
		"How far the clock has jumped forward without being trusted yet.",
		clock.Stepped.Seconds(), nil)
	out.flag("tidings_retention_held",
		"1 while nothing is deleted by age, because the clock is far ahead of what the log held "+
			"at the start.",
		clock.Doubted, nil)
	out.gauge("tidings_clock_behind_seconds",
		"How far the clock is behind the newest ID; new events keep its time until it has "+
			"caught up.",
		behind,
		nil)
}

func (s scrape) collectSubscribers(out sink, first store.ID) {
	states := map[string]int{stateLive: 0, stateCatchingUp: 0, stateStalled: 0}
	var events, seconds []float64
	for _, v := range s.subscribers.byID.Range {
		x := v.(*subscriber)
		states[x.state()]++
		if len(events) == maxLagSample {
			continue
		}
		_, at := x.progress.now()
		lag, age, err := s.lag(x.filter, at, first)
		if err != nil {
			out.fail(err)
			return
		}
		events, seconds = append(events, float64(lag)), append(seconds, age.Seconds())
	}
	for state, n := range states {
		out.gauge("tidings_subscribers", "Open streams.", float64(n),
			prometheus.Labels{"state": state})
	}
	pages := s.o.Presence.Count()
	for _, h := range presence.Hearings {
		out.gauge("tidings_pages", "Reporting pages with a stream, by whether an alarm would be heard there.",
			float64(pages[h]), prometheus.Labels{"hearing": string(h)})
	}
	out.distribution("tidings_subscriber_lag_events",
		"Events that subscribers have yet to receive, counted up to 1,000; for at most 100 "+
			"subscribers, drawn at random.",
		events)
	out.distribution("tidings_subscriber_lag_seconds",
		"Age of the last event those subscribers received; 0 if caught up.", seconds)
}
