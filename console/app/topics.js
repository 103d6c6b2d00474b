// The topics.

import { get } from './api.js';
import { el, fill } from './dom.js';
import { bytes, number, t } from './i18n.js';
import { at, attempt, field, poll, since } from './parts.js';
import { table } from './table.js';
import { timeOf } from './ulid.js';

const EVERY = 5; // seconds
const MOST = 200; // rows; a log may have a million topics

export default {
  id: 'topics',
  title: 'page.topics',
  show(root, { signal, params }) {
    const state = el('p', { class: 'state', role: 'status' }, t('topics.loading'));
    const failed = el('div');
    const filter = el('input', {
      type: 'search', name: 'filter', value: params.get('filter') ?? '', autocomplete: 'off', spellcheck: 'false', oninput: () => {
        show();
        history.replaceState(null, '', `#/topics?${new URLSearchParams({ filter: filter.value })}`); // for a reload, and for Back
      },
    });
    const list = table({ label: t('page.topics'), key: one => one.topic, columns: COLUMNS, most: MOST, sort: { by: COLUMNS[0] } });
    let topics;
    let before;

    const look = attempt(failed, signal, async () => {
      const answer = await get('/v1/topics', {}, signal);
      const now = performance.now();
      topics = answer.topics.map(one => ({ ...one, rate: rateOf(one, before, now), average: averageOf(one) }));
      before = { time: now, counts: new Map(topics.map(one => [one.topic, one.count])) };
      show();
    });

    function show() {
      if (!topics) return;
      const wanted = filter.value.trim().toLowerCase();
      const found = topics.filter(one => one.topic.toLowerCase().includes(wanted));
      list.show(found);
      list.element.hidden = found.length === 0;
      const text = sentence(topics.length, found.length);
      if (state.textContent !== text) fill(state, text); // a change is read out
    }

    list.element.hidden = true;
    root.append(el('h1', {}, t('page.topics')), el('p', { class: 'lead' }, t('topics.lead')),
      field(t('topics.filter'), filter), failed, state, list.element);
    poll(EVERY, signal, look);
  },
};

function sentence(all, found) {
  if (all === 0) return t('topics.none');
  if (found === 0) return t('topics.noMatch');
  if (found > MOST) return t('topics.some', { shown: MOST, n: found });
  return found === all ? t('topics.count', { n: all }) : t('topics.found', { n: found, all });
}

// rateOf returns the events per second since the last look; unknown at the first. The true rate may be higher:
// retention deletes events meanwhile.
function rateOf({ topic, count }, before, now) {
  if (!before) return undefined;
  return Math.max(0, count - (before.counts.get(topic) ?? 0)) / ((now - before.time) / 1000);
}

// averageOf returns the rate over all retained events.
function averageOf({ count, first, last }) {
  const seconds = first ? (timeOf(last) - timeOf(first)) / 1000 : 0;
  return seconds > 0 ? (count - 1) / seconds : undefined;
}

const perSecond = value => (value === undefined ? '–' : number(value, { maximumSignificantDigits: 3 }));

const COLUMNS = [
  { title: t('topics.topic'), order: one => one.topic, cell: one => [
    el('a', { href: `#/log?${new URLSearchParams({ topic: one.topic })}` }, one.topic),
    one.ended && el('span', { class: 'badge ended' }, t('topics.ended'), ' ', since(timeOf(one.ended)))] },
  { title: t('topics.events'), number: true, order: one => one.count, cell: one => number(one.count) },
  { title: t('topics.rate'), number: true, order: one => one.rate ?? -1, cell: one => perSecond(one.rate) },
  { title: t('topics.average'), number: true, order: one => one.average ?? -1, cell: one => perSecond(one.average) },
  { title: t('topics.size'), number: true, order: one => one.bytes, cell: one => bytes(one.bytes) },
  { title: t('topics.first'), order: one => one.first ?? '', cell: one => (one.first ? at(timeOf(one.first)) : '–') },
  { title: t('topics.last'), order: one => one.last ?? '', cell: one => (one.last ? at(timeOf(one.last)) : '–') },
];
