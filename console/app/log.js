// The log, from any time in both directions.

import { get } from './api.js';
import { gap } from './card.js';
import { el, fill } from './dom.js';
import { download } from './download.js';
import { openEvent } from './event-detail.js';
import { Reader } from './reader.js';
import { t, time } from './i18n.js';
import { List } from './list.js';
import { at, field, localOf, problem, refill } from './parts.js';

const HELD = 3000; // rows; those further away are read again
const SUGGESTED = 500; // topics

export default {
  id: 'log',
  title: 'page.log',
  show(root, { signal, params, go }) {
    const wanted = wantedOf(params);
    const head = el('div', { class: 'log-end', tabindex: '-1' });
    const rows = el('div', { class: 'log-rows' });
    const foot = el('div', { class: 'log-end', tabindex: '-1', role: 'status' });
    root.append(
      el('div', { class: 'page-head' }, el('h1', {}, t('page.log')),
        el('button', { type: 'button', onclick: () => download({ ...wanted, signal }) }, t('log.download'))),
      form(wanted, go, signal), head, rows, foot);
    browse({ head, rows, foot }, wanted, signal);

    // An event has its own address, and so a history entry: Back closes it.
    let box; // the dialog that shows it
    const open = (id, leave) => {
      const opened = box = id ? openEvent(id, signal) : undefined;
      opened?.addEventListener('close', () => box === opened && !signal.aborted && leave());
    };
    open(params.get('id'), () => history.replaceState(null, '', address(wanted))); // Back might leave the console
    return params => {
      if (address(wantedOf(params)) !== address(wanted)) return false;
      const last = box;
      open(params.get('id'), () => history.back());
      last?.close();
      return true;
    };
  },
};

const wantedOf = params => Object.fromEntries(['topic', 'type', 'since'].map(name => [name, params.get(name) ?? '']));

// address returns the page's address for a query.
const address = wanted => `#/log?${new URLSearchParams(Object.entries(wanted).filter(([, value]) => value))}`;

function form(wanted, go, signal) {
  const known = el('datalist', { id: 'log-topics' });
  const name = { autocomplete: 'off', spellcheck: 'false', maxlength: '255' };
  const topic = el('input', { ...name, name: 'topic', value: wanted.topic, list: known.id });
  const type = el('input', { ...name, name: 'type', value: wanted.type });
  const since = el('input', { name: 'since', type: 'datetime-local', step: '1', value: localOf(wanted.since) });
  const show = event => {
    event.preventDefault();
    const asked = { topic: topic.value.trim(), type: type.value.trim(), since: since.value && new Date(since.value).toISOString() };
    go(address(asked));
  };
  topic.addEventListener('focus', () => suggest(known, signal), { once: true });
  const said = [wanted.topic, wanted.type, localOf(wanted.since) && time(wanted.since)].filter(Boolean).join(' · ');
  const open = matchMedia('(min-width: 46rem)').matches; // on a phone it would fill the view
  return el('details', { class: 'find', open },
    el('summary', {}, said ? t('log.found', { said }) : t('log.find')),
    el('form', { class: 'filters', onsubmit: show },
      field(t('log.topic'), topic, t('log.topicHint')), known,
      field(t('log.type'), type, t('log.typeHint')),
      field(t('log.since'), since, t('log.sinceHint')),
      el('div', { class: 'actions' },
        el('button', { class: 'primary' }, t('log.show')),
        el('button', { type: 'button', onclick: () => go('#/log') }, t('log.newest')))));
}

async function suggest(list, signal) {
  try {
    const { topics } = await get('/v1/topics', {}, signal);
    fill(list, topics.slice(0, SUGGESTED).map(one => el('option', { value: one.topic })));
  } catch {
    // a topic can still be typed, and reading it reports what is wrong
  }
}

function browse({ head, rows, foot }, wanted, signal) {
  const reader = new Reader({ ...wanted, signal });
  // The number of events searched in vain, before asking whether to continue.
  const vain = { newer: 0, older: 0 };
  const list = new List(rows, {
    row: event => row(event, wanted), key: event => event.id, label: t('log.feed'), signal, estimate: 60,
    onNeedBefore: () => unless(vain.newer, newer),
    onNeedAfter: () => unless(vain.older, older),
  });

  const newer = once(head, signal, async () => {
    if (reader.newest) return false;
    const events = await reader.newer();
    list.prepend(events);
    if (list.length > HELD) {
      list.keepFirst(HELD);
      if (list.last.gap) list.keepFirst(list.length - 1); // a gap is not a position to continue from
      reader.before = list.last.id;
      showFoot();
    }
    vain.newer = events.length || reader.newest ? 0 : reader.searched;
    showHead();
    return events.length > 0;
  });

  const older = once(foot, signal, async () => {
    if (reader.before) refill(foot, t('log.loading'));
    const events = await reader.older();
    list.append(events);
    if (list.length > HELD) {
      list.keepLast(HELD);
      if (list.first.gap) list.keepLast(list.length - 1);
      Object.assign(reader, { after: list.first.id, newest: false });
      showHead();
    }
    vain.older = events.length || !reader.before ? 0 : reader.searched;
    showFoot();
    return events.length > 0;
  });

  const start = once(foot, signal, async () => {
    fill(foot, t('log.loading'));
    const found = await reader.start(wanted.since);
    list.append(found);
    if (reader.since && list.length === 0) await newer();
    const first = found.findLast(({ gap }) => !gap) ?? list.last; // since the requested time
    showHead();
    if (reader.since || !first) await older(); // so that the first event can be at the top of the view
    else showFoot();
    if (reader.since && first) list.reveal(first.id);
  });

  function showHead() {
    const look = () => {
      reader.newest = false;
      return newer();
    };
    refill(head,
      wanted.since && !reader.since && el('p', {}, t('log.nothingSince')),
      reader.newest && el('span', {}, t('log.newestAt', { time: time(Date.now(), { timeStyle: 'medium' }) })),
      reader.newest && button('log.lookNewer', look),
      vain.newer > 0 && [el('span', {}, t('log.searchedNewer', { n: vain.newer })), button('log.searchNewer', newer)]);
  }

  function showFoot() {
    if (vain.older) refill(foot, el('span', {}, t('log.searchedOlder', { n: vain.older })), button('log.searchOlder', older));
    else if (reader.before) refill(foot);
    else refill(foot, t(list.length ? 'log.start' : wanted.type || wanted.topic ? 'log.noMatch' : 'log.empty'));
  }

  start().catch(() => {}); // already shown to the person
}

async function unless(vain, read) {
  if (vain) throw new Error('the person is asked first'); // the list will ask again
  return read();
}

// once wraps a reading so that only one runs at a time. A failure is shown in a place, with a button to retry, unless
// the server would only repeat itself.
function once(place, signal, read) {
  let running;
  const run = () => running ??= read().catch(error => {
    if (!signal.aborted) refill(place, problem(error), !error.lasting && button('log.again', run));
    throw error;
  }).finally(() => { running = undefined; });
  return run;
}

const button = (text, onclick) => el('button', { type: 'button', onclick: () => onclick().catch(() => {}) }, t(text));

function row(event, wanted) {
  if (event.gap) return gap({ key: `gap ${event.id}`, gap: event.gap });
  return el('article', { class: 'log-row', 'aria-label': `${event.type}, ${event.topic}, ${time(event.time)}` },
    el('div', { class: 'log-row-head' },
      el('a', { href: address({ ...wanted, id: event.id }) }, event.type),
      el('code', { class: 'topic' }, event.topic), at(event.time)),
    el('p', { class: 'summary' }, event.summary));
}
