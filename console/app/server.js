// The server: its log, its state, and the limits in force.

import { get, request } from './api.js';
import { el, fill } from './dom.js';
import { bytes, number, t } from './i18n.js';
import { at, attempt, facts, poll } from './parts.js';
import * as prometheus from './prometheus.js';
import { timeOf } from './ulid.js';

const EVERY = 5; // seconds

export default {
  id: 'server',
  title: 'page.server',
  show(root, { signal }) {
    const failed = el('div');
    const cards = el('div', { class: 'cards' }, el('p', { class: 'state' }, t('server.loading')));
    const shown = new Map(); // the cards by title
    let opened; // the commit histogram when the page was opened
    let refused; // the refusal of the metrics to this token

    const look = attempt(failed, signal, async () => {
      const [log, ready, metrics] = await Promise.all([get('/v1/log', {}, signal), readiness(signal), refused ?? scrape(signal)]);
      if (metrics.error?.code === 'admin-required') refused = metrics;
      const commits = metrics.found && prometheus.histogram(metrics.found, 'tidings_commit_seconds');
      // A restarted server counts from zero.
      if (!opened || prometheus.total(commits ?? []) < prometheus.total(opened)) opened = commits;
      show([
        [t('server.status'), status(log, ready, metrics)],
        [t('server.log'), contents(log)],
        ...(log.nodes ? [[t('server.nodes'), log.nodes.flatMap(node)]] : []),
        [t('server.commits'), metrics.found ? latency(commits, opened) : withheld(metrics)],
        [t('server.retention'), retention(log.retention)],
        [t('server.limits'), limits(log.limits)],
        [t('server.idempotency'), idempotency(log.idempotency)],
      ]);
    });

    // show leaves unchanged cards alone, so that a selection in them stays.
    function show(list) {
      if (!shown.size) fill(cards);
      for (const [title, content] of list) {
        const card = el('section', { class: 'card' }, el('h2', {}, title), content);
        const old = shown.get(title);
        if (old?.isEqualNode(card)) continue;
        if (old) old.replaceWith(card);
        else cards.append(card);
        shown.set(title, card);
      }
    }

    root.append(el('h1', {}, t('page.server')), el('p', { class: 'lead' }, t('server.lead')), failed, cards);
    poll(EVERY, signal, look);
  },
};

// scrape returns the metrics, or why there are none: they are for administrators.
async function scrape(signal) {
  try {
    return { found: prometheus.parse(await (await request('GET', '/metrics', { signal })).text()) };
  } catch (error) {
    if (signal.aborted) throw error;
    return { error };
  }
}

async function readiness(signal) {
  try {
    await request('GET', '/readyz', { signal });
    return null;
  } catch (error) {
    if (signal.aborted || ![503, 507].includes(error.status)) throw error;
    return error;
  }
}

const withheld = ({ error }) => el('p', { class: 'hint' },
  error.code === 'admin-required' ? t('server.withheld') : t('server.noMetrics', { message: error.message }));

function status({ engine, version, log }, notReady, metrics) {
  const free = metrics.found && prometheus.valueOf(metrics.found, 'tidings_disk_free_bytes');
  return [
    facts([
      [t('server.writes'), notReady ? el('strong', { class: 'bad' }, t('server.no', { message: notReady.message })) : t('server.yes')],
      [t('server.version'), version],
      [t('server.engine'), engine],
      [t('server.logID'), el('code', { class: 'id' }, log)],
      [t('server.diskFree'), free === undefined ? undefined : bytes(free)],
    ]),
    metrics.found ? null : el('p', { class: 'hint' }, t('server.without')),
  ];
}

function position(id) {
  if (!id) return '–';
  return [at(timeOf(id)), ' ', el('a', { href: `#/log?${new URLSearchParams({ id })}` }, el('code', { class: 'id' }, id))];
}

const contents = log => facts([
  [t('server.events'), number(log.events)],
  [t('server.topics'), el('a', { href: '#/topics' }, number(log.topics))],
  [t('server.bytes'), bytes(log.bytes)],
  [t('server.fileBytes'), bytes(log.file_bytes)],
  [t('server.first'), position(log.first)],
  [t('server.last'), position(log.last)],
  // The newest event may be deleted; new ones still follow it.
  [t('server.head'), log.head === log.last ? undefined : position(log.head)],
]);

// node shows a server of the log.
const node = one => [
  el('h3', {}, one.node, one.self && ` ${t('server.self')}`),
  facts([
    [t('server.version'), one.version],
    [t('server.heard'), one.lost ? el('strong', { class: 'bad' }, t('server.lost', { seconds: seconds(one.heard_seconds) })) : t('server.there')],
    [t('server.lag'), one.lag_commits ? t('server.commitsBehind', { n: one.lag_commits, seconds: seconds(one.lag_seconds) }) : t('server.upToDate')],
    [t('server.silence'), one.silence_seconds < 10 ? undefined : el('strong', { class: 'bad' }, duration(Math.round(one.silence_seconds)))],
    [t('server.clock'), Math.abs(one.clock_seconds) < 2 ? undefined : el('strong', { class: 'bad' }, t('server.clockOff', { seconds: seconds(one.clock_seconds) }))],
    [t('server.sends'), one.sends ? t('server.yes') : undefined],
  ]),
];

const seconds = value => number(value, { maximumFractionDigits: value < 10 ? 1 : 0 });

function latency(commits, opened) {
  const part = (title, buckets) => [el('h3', {}, title), facts([
    [t('server.count'), number(prometheus.total(buckets))],
    [t('server.p50'), milliseconds(prometheus.quantile(0.5, buckets))],
    [t('server.p99'), milliseconds(prometheus.quantile(0.99, buckets))],
  ])];
  return [...part(t('server.whileOpen'), prometheus.since(commits, opened)), ...part(t('server.sinceStart'), commits),
    el('p', { class: 'hint' }, t('server.estimate'))];
}

const milliseconds = seconds =>
  (seconds === undefined ? '–' : t('server.ms', { value: number(seconds * 1000, { maximumSignificantDigits: 2 }) }));

function retention({ age_seconds: ages, events, bytes: sizes }) {
  const rows = [
    ...ages.map(({ pattern, max }) => [scope(pattern), t('server.keepAge', { age: duration(max) })]),
    ...events.map(({ pattern, max }) => [scope(pattern), t('server.keepEvents', { n: max })]),
    ...sizes.map(({ pattern, max }) => [scope(pattern), t('server.keepBytes', { size: bytes(max) })]),
  ];
  return rows.length ? facts(rows) : el('p', {}, t('server.keepAll'));
}

const scope = pattern => (pattern === null ? t('server.wholeLog') : el('code', {}, pattern));

const limits = one => facts([
  [t('server.eventBytes'), bytes(one.event_bytes)],
  [t('server.subscriptionTopics'), number(one.subscription_topics)],
  [t('server.heartbeat'), duration(one.heartbeat_seconds)],
  [t('server.stall'), duration(one.stall_seconds)],
  [t('server.queue'), duration(one.queue_seconds)],
]);

const idempotency = ({ held, oldest }) => [
  facts([[t('server.keys'), number(held)], [t('server.reach'), oldest ? at(oldest) : undefined]]),
  oldest && el('p', { class: 'hint' }, t('server.reachHint')),
];

// duration uses the largest unit that gives a whole number.
function duration(seconds) {
  const units = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
  const [unit, length] = units.find(([, length]) => seconds >= length && seconds % length === 0) ?? ['second', 1];
  return number(seconds / length, { style: 'unit', unit, unitDisplay: 'long' });
}
