// Who is connected.

import { get, request } from './api.js';
import { el, fill } from './dom.js';
import { bytes, number, t } from './i18n.js';
import { attempt, poll, question, since } from './parts.js';
import { table } from './table.js';

const EVERY = 3; // seconds
const MOST = 500; // rows; a server may have 50,000 streams

export default {
  id: 'connections',
  title: 'page.connections',
  admin: true,
  show(root, { signal }) {
    const heading = el('h1', { tabindex: '-1' }, t('page.connections'));
    const state = el('p', { class: 'state', role: 'status' }, t('connections.loading'));
    const cut = one => confirmCut(one, signal, async () => {
      await look();
      if (document.activeElement === document.body) heading.focus(); // the focused button is gone
    });
    const list = table({ label: t('page.connections'), key: one => one.id, most: MOST, columns: columns(cut) });
    const failed = el('div');
    const missing = el('div', { role: 'status' }); // servers whose connections are unknown

    const look = attempt(failed, signal, async () => {
      const { subscribers, unanswered = [] } = await get('/v1/subscribers', {}, signal);
      const silent = unanswered.map(one => el('p', { class: 'notice' }, t('connections.unanswered', one)));
      if (missing.textContent !== silent.map(one => one.textContent).join('')) fill(missing, ...silent);
      list.show(subscribers);
      list.element.hidden = subscribers.length === 0;
      const text = sentence(subscribers.length);
      if (state.textContent !== text) fill(state, text); // a change is read out
    });

    list.element.hidden = true;
    root.append(heading, el('p', { class: 'lead' }, t('connections.lead')), failed, missing, state, list.element);
    poll(EVERY, signal, look);
  },
};

function sentence(n) {
  if (n === 0) return t('connections.none');
  return n > MOST ? t('connections.some', { n, shown: MOST }) : t('connections.count', { n });
}

const columns = cut => [
  { title: t('connections.who'), order: one => one.remote, cell: who },
  { title: t('connections.topics'), cell: one => one.topics.map(topic => el('code', { class: 'topic' }, topic)) },
  { title: t('connections.state'), order: one => one.state, cell: state },
  { title: t('connections.hears'), order: one => one.hearing?.state ?? '', cell: hears },
  { title: t('connections.behind'), order: one => one.lag_events, descending: true, cell: behind },
  { title: t('connections.since'), order: one => Date.parse(one.since), cell: one => since(one.since) },
  { title: t('connections.sent'), number: true, order: one => one.bytes, cell: one => bytes(one.bytes) },
  { title: t('connections.cursor'), cell: one => el('code', { class: 'id' }, one.cursor) },
  { title: t('connections.action'), cell: one => el('button', {
    type: 'button', class: 'danger', onclick: () => cut(one), 'aria-label': t('connections.cutWho', { who: [one.subject, one.remote].filter(Boolean).join(' ') }),
  }, t('connections.cut')) },
];

const who = one => [one.subject && el('strong', {}, one.subject), ' ', el('code', {}, one.remote), ' ', el('bdi', { class: 'agent' }, one.user_agent || t('connections.noAgent')),
  one.node && el('div', { class: 'hint' }, t('connections.on', one))];
const state = one => el('span', { class: `badge ${STATES[one.state]}` }, t(`connections.${STATES[one.state]}`));
const STATES = { live: 'live', 'catching up': 'catchingUp', stalled: 'stalled' };

// hears says whether an alarm would be heard there, and if not, why.
const hears = ({ hearing }) => {
  if (!hearing) return el('span', { class: 'badge' }, t('connections.hears-unknown'));
  const { state, visible, allowed } = hearing;
  const more = state === 'silent' ? [] : [t(visible ? 'connections.visible' : 'connections.hidden'), t(allowed ? 'connections.notified' : 'connections.unnotified')];
  return [el('span', { class: `badge ${HEARS[state] ?? ''}` }, t(`connections.hears-${state}`)), el('div', { class: 'hint' }, more.join(', '))];
};
const HEARS = { able: 'live', blocked: 'stalled', silent: 'stalled' };
const COUNTED = 1000; // the server counts no further

function behind({ lag_events: events, lag_seconds: seconds }) {
  if (events === 0) return t('connections.nothing');
  const count = t(events >= COUNTED ? 'connections.orMore' : 'connections.events', { n: events });
  return t('connections.lag', { count, seconds: number(seconds, { maximumFractionDigits: seconds < 10 ? 1 : 0 }) });
}

const confirmCut = (one, signal, done) => question({
  title: t('connections.cutTitle'), text: [el('span', {}, who(one)), t('connections.notABan')],
  verb: t('connections.cut'), danger: true,
}, signal, () => request('DELETE', `/v1/subscribers/${encodeURIComponent(one.id)}`, { signal }).catch(error => {
  if (error.code !== 'subscriber-not-found') throw error; // else it is already gone
}), done);
