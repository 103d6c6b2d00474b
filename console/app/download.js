// A part of the log as a file.

import { get } from './api.js';
import { el, fill } from './dom.js';
import { isOfType, page } from './reader.js';
import { bytes, t, time } from './i18n.js';
import { dialog, facts, problem } from './parts.js';

// A file is built in memory.
const MOST_EVENTS = 200_000;
const MOST_BYTES = 256 * 2 ** 20;

// download offers, in a dialog, to fetch the events of a topic and type since a time, up to the current newest.
export function download({ topic, type, since, signal }) {
  const state = el('p', { role: 'status' });
  const failed = el('div');
  const actions = el('div', { class: 'actions' });
  const stopped = new AbortController();
  const box = dialog(t('download.title'), signal,
    facts([
      [t('log.topic'), topic || t('log.allTopics')],
      [t('log.type'), type || t('log.allTypes')],
      [t('download.range'), t('download.sinceUntil', { since: since ? time(since) : t('download.earliest') })],
    ]),
    el('p', { class: 'hint' }, t('download.bound', { n: MOST_EVENTS, size: bytes(MOST_BYTES) })), failed, state, actions);
  box.addEventListener('close', () => stopped.abort());
  const close = () => button('parts.close', () => box.close());
  fill(actions, button('download.start', start, 'primary'), close());

  async function start() {
    const file = { parts: [], events: 0, bytes: 0, bounded: false, gap: null };
    const stop = new AbortController();
    let told = 0;
    const onPage = through => {
      if (performance.now() - told < 1000) return; // each change is read out
      told = performance.now();
      fill(state, t('download.progress', { events: t('log.events', { n: file.events }), size: bytes(file.bytes), through: time(through) }));
    };
    fill(actions, button('download.stop', () => stop.abort()), el('progress', { 'aria-label': t('download.title') }));
    actions.firstChild.focus(); // the pressed button is gone
    try {
      await collect(file, { topic, type, since, signal: AbortSignal.any([stopped.signal, stop.signal]), onPage });
    } catch (error) {
      if (stopped.signal.aborted) return;
      if (!stop.signal.aborted) fill(failed, problem(error));
    }
    finish(file, stop.signal.aborted);
  }

  function finish(file, wasStopped) {
    const how = file.bounded ? 'download.bounded' : wasStopped || failed.hasChildNodes() ? 'download.part' : 'download.whole';
    const gap = file.gap && ` ${t('log.gap', { detail: file.gap.detail })}`;
    fill(state, t(how, { events: t('log.events', { n: file.events }), size: bytes(file.bytes) }), gap);
    fill(actions, file.events > 0 && button('download.save', () => save(file, topic), 'primary'), close());
    actions.firstChild.focus();
  }
}

const button = (text, onclick, kind) => el('button', { type: 'button', onclick, class: kind }, t(text));

// collect reads page by page, to the log's end as it was at the start: otherwise it might never end while events
// arrive.
async function collect(file, { topic, type, since, signal, onPage }) {
  const { head } = await get('/v1/log', {}, signal);
  let start = { since: since || 'earliest' };
  for (let last = false; head && !last;) {
    const { lines, next, caughtUp, gap } = await page({ topic, limit: 1000, ...start }, signal);
    const wanted = lines.filter(line => isOfType(line, type)).slice(0, MOST_EVENTS - file.events);
    const part = new Blob(wanted.map(line => `${line}\n`));
    file.parts.push(part);
    file.events += wanted.length;
    file.bytes += part.size;
    file.gap ??= gap;
    file.bounded = !caughtUp && (file.events >= MOST_EVENTS || file.bytes >= MOST_BYTES);
    start = { after: next };
    last = caughtUp || file.bounded || next >= head;
    if (lines.length) onPage(JSON.parse(lines.at(-1)).time);
  }
}

function save(file, topic) {
  const url = URL.createObjectURL(new Blob(file.parts, { type: 'application/x-ndjson' }));
  const name = `tidings-${(topic || 'log').replace(/[^\w.-]/g, '_')}-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.ndjson`;
  el('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // by then the browser has started to write
}
